"""Quiz files: found, read with their line numbers, and held to `quizzes/schema.json`.

A person who mends a file needs the line, so the YAML nodes are walked beside the data and every complaint is looked
up by its path. YAML is read by the safe loader; a key that stands twice is refused instead of silently lost.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from labkit.errors import LessonError, QuizFileError, UnreadableError
from labkit.reading import parse_yaml, read_json, read_text

Key = tuple[str | int, ...]
MOST_BYTES = 1 << 20


class _Loader(yaml.SafeLoader):
    """The safe loader, for which `yes`, `no`, `on` and `off` are words, as an option may well read."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))


@dataclass(frozen=True)
class QuizSource:
    """What was read: the data, and the line on which each field stands."""

    path: Path
    data: dict[str, Any]
    lines: dict[Key, int]

    def line(self, key: Key) -> int:
        """The line of a field, or of the nearest thing around it that stands in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)

    def error(self, key: Key, problem: str, remedy: str) -> QuizFileError:
        """The error for a field of this file."""
        return QuizFileError(str(self.path), self.line(key), field_name(key), problem, remedy)


def field_name(key: Key) -> str:
    """`("questions", 2, "options", 0, "text")` as `questions[2].options[0].text`."""
    out = ""
    for part in key:
        out += f"[{part}]" if isinstance(part, int) else (f".{part}" if out else part)
    return out or "file"


def quiz_path(lesson: str | Path) -> Path:
    """The file of a lesson's quiz; a path to a YAML file is taken as it is.

    Raises:
        LessonError: no such quiz.
    """
    if isinstance(lesson, Path) or lesson.endswith((".yaml", ".yml")):
        path = Path(lesson)
        if not path.is_file():
            raise LessonError(f"there is no quiz file {path}; give the path of a .yaml file that exists")
        return path
    from labkit.paths import quizzes_dir

    files = sorted(quizzes_dir().glob("*.yaml"))
    for path in files:
        number, _, name = path.stem.partition("_")
        if lesson in (path.stem, name) or (number.isdigit() and lesson.isdigit() and int(lesson) == int(number)):
            return path
    known = ", ".join(p.stem for p in files) or "none"
    raise LessonError(f"there is no quiz for '{lesson}'; the quizzes are: {known}. Name one of these")


def read(path: Path, validate: bool = True) -> QuizSource:
    """The file as data with lines, obeying the schema.

    Args:
        path: the file.
        validate: whether to hold it to the schema, for which jsonschema takes a second to load. The course's own files
            have been held to it when they were built.

    Raises:
        QuizFileError: with file, line, field and remedy.
    """
    try:
        node, data = parse_yaml(read_text(path, MOST_BYTES), _Loader)
    except UnreadableError as error:
        yaml_rules = "mind the indentation, and put text that holds ': ', '#', '{' or '[' in double quotes"
        remedy = yaml_rules if "not YAML" in error.reason else "save it as an ordinary YAML file in UTF-8"
        problem = error.reason.removeprefix("it ")
        raise QuizFileError(str(path), error.line or 1, "file", problem, remedy) from None
    lines: dict[Key, int] = {}
    if node is not None:
        _lines(node, (), lines, path)
    source = QuizSource(path, data if isinstance(data, dict) else {}, lines)
    if not isinstance(data, dict):
        raise source.error((), "holds no fields", "begin with `lesson:`, `title:` and `questions:`")
    if validate:
        _validate(source)
    _agree(source)
    return source


def _lines(node: yaml.Node, key: Key, out: dict[Key, int], path: Path) -> None:
    out.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for name_node, value_node in node.value:
            name = str(name_node.value)
            here = (*key, name)
            line = name_node.start_mark.line + 1
            if name in seen:
                remedy = "keep one of the two"
                raise QuizFileError(str(path), line, field_name(here), "stands twice", remedy)
            seen.add(name)
            out[here] = line
            _lines(value_node, here, out, path)
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            out[(*key, i)] = item.start_mark.line + 1
            _lines(item, (*key, i), out, path)


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The JSON schema that every quiz file obeys (`quizzes/schema.json`)."""
    from labkit.paths import quizzes_dir

    return read_json(quizzes_dir() / "schema.json")


@lru_cache(maxsize=1)
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


def _validate(source: QuizSource) -> None:
    errors = list(_validator().iter_errors(source.data))
    if not errors:
        return
    # A wrong type of question makes every later complaint about it meaningless: tell that first, then the topmost.
    errors.sort(key=lambda e: (e.validator != "enum", source.line(tuple(e.absolute_path)), len(e.absolute_path)))
    raise _explain(source, errors[0])


_KINDS = {
    "string": "text",
    "array": "a list",
    "object": "fields",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


def _explain(source: QuizSource, error: Any) -> QuizFileError:
    """One complaint of the validator in the words of someone who writes questions."""
    key: Key = tuple(error.absolute_path)
    value, want = error.instance, error.validator_value
    match error.validator:
        case "required":
            name = next(n for n in want if n not in value)
            return source.error((*key, name), "is missing", f"add `{name}:`{_hint(name)}")
        case "additionalProperties" if isinstance(value, dict):
            allowed = list(error.schema.get("properties", {}))
            name = next(n for n in value if n not in allowed)
            close = difflib.get_close_matches(str(name), allowed, 1, 0.6)
            remedy = f"did you mean `{close[0]}`?" if close else f"the fields here are: {', '.join(allowed)}"
            return source.error((*key, name), "is no field that belongs here", remedy)
        case "enum":
            close = difflib.get_close_matches(str(value), [str(w) for w in want], 1, 0.5)
            remedy = f"did you mean `{close[0]}`?" if close else f"write one of: {', '.join(map(str, want))}"
            return source.error(key, f"`{value}` is unknown", remedy)
        case "const":
            return source.error(key, f"is `{value}`", f"write `{want}`")
        case "type":
            wanted = " or ".join(_KINDS.get(w, w) for w in ([want] if isinstance(want, str) else want))
            got = "nothing" if value is None else _KINDS.get(_kind(value), "something else")
            remedy = f"write {wanted}"
            if "string" in want and _kind(value) in ("integer", "number", "boolean", "object"):
                remedy += ", in double quotes"
            return source.error(key, f"holds {got} where {wanted} belongs", remedy)
        case "minItems" | "maxItems":
            few = error.validator == "minItems"
            problem = f"has {len(value)} entries, {'too few' if few else 'too many'}"
            return source.error(key, problem, f"write {'at least' if few else 'at most'} {want}")
        case "minLength" | "minProperties":
            return source.error(key, "is empty", "fill it in or leave the field out")
        case "pattern":
            remedy = {
                "^[0-9]{2}$": 'write the two digits of a lesson in quotes, such as "02"',
                "^[a-z0-9][a-z0-9-]*$": "use lower-case letters, digits and dashes",
                "^[a-z][a-z0-9_]*$": "use lower-case letters, digits and underscores",
                "^[A-F]$": "write one letter from A to F",
            }.get(str(want), 'write a number or a share such as "2%"')
            return source.error(key, f"`{value}` has the wrong form", remedy)
        case "minimum" | "exclusiveMinimum":
            bound = "at least" if error.validator == "minimum" else "more than"
            return source.error(key, f"is {value}", f"write {bound} {want}")
        case "anyOf" | "oneOf":
            names = [n for part in want for n in part.get("required", [])]
            if names:
                return source.error(key, f"needs one of {', '.join(f'`{n}`' for n in names)}", "add one of them")
            return source.error(key, f"`{value}` has the wrong form", 'write a number or a share such as "2%"')
    return source.error(key, error.message, "see labkit.grading.quiz for the format")


def _kind(value: Any) -> str:
    kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "")


def _hint(name: str) -> str:
    hints = {
        "feedback": " with the consequence of this choice",
        "otherwise": " with what to say to any other number",
        "sample": " with an answer that passes the rubric",
        "id": " with a name of lower-case letters and dashes",
        "type": " with one of single, multiple, sentences, numeric, ordering, matching, predict, click, short",
    }
    return hints.get(name, "")


def _agree(source: QuizSource) -> None:
    """What the schema cannot say: the lesson is the file's name, ids are unique, a key exists."""
    data = source.data
    if data["lesson"] != source.path.stem:
        raise source.error(("lesson",), f"is `{data['lesson']}`", f"write the file's name, `{source.path.stem}`")
    seen: dict[str, int] = {}
    for i, question in enumerate(data["questions"]):
        key: Key = ("questions", i)
        id = question["id"]
        if id in seen:
            remedy = f"question {seen[id]} of the file has it already; give this one another name"
            raise source.error((*key, "id"), f"`{id}` stands twice", remedy)
        seen[id] = i + 1
        if question.get("prediction") and not question.get("reveals"):
            raise source.error((*key, "reveals"), "is missing", "say what the next cell will show")
        if question["type"] == "predict" and not ("options" in question) ^ ("output" in question):
            problem = "needs `output` or `options`, and not both"
            raise source.error(key, problem, "write the output that is typed, or the options to choose from")
        if question["type"] == "predict" and "output" in question:
            for name in ("feedback", "otherwise"):
                if name not in question:
                    raise source.error((*key, name), "is missing", f"add `{name}:`")
        if "options" in question:
            _agree_options(source, key, question)
        if question["type"] == "click" and not any(r.get("right") for r in question["picture"]["regions"]):
            raise source.error((*key, "picture", "regions"), "none is right", "mark one with `right: true`")
        if question["type"] == "short":
            points = question["rubric"]["points"]
            if question["rubric"].get("need", 1) > len(points):
                problem = f"asks for more than the {len(points)} points there are"
                raise source.error((*key, "rubric", "need"), problem, "ask for fewer or add points")
        for j, shape in enumerate((question.get("picture") or {}).get("draw", [])):
            if "write" in shape and "at" not in shape:
                raise source.error((*key, "picture", "draw", j, "at"), "is missing", "add `at: [x, y]`")


def _agree_options(source: QuizSource, key: Key, question: dict[str, Any]) -> None:
    options = question["options"]
    if "answer" in question:
        for j, option in enumerate(options):
            if "value" not in option:
                problem = "is missing, and the question has an `answer` to compare with"
                raise source.error((*key, "options", j, "value"), problem, "add `value:` or mark the key by `right:`")
            if "right" in option:
                problem = "stands beside the question's `answer`"
                raise source.error((*key, "options", j, "right"), problem, "keep one of the two")
    elif not any(o.get("right") for o in options):
        raise source.error((*key, "options"), "none is right", "mark the right one with `right: true`")
