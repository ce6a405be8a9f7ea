"""What pyproject.toml cannot say: packages that are found, beside four whose folders have other names."""

from setuptools import find_packages, setup

OTHERS = ["kvkernels", "labkit_notebooks", "labkit_quizzes", "labkit_recordings"]

setup(packages=[*find_packages(include=["labkit", "labkit.*"]), *OTHERS])
