"""One answer of a `/metrics` endpoint, in Prometheus's text form, as numbers by name and labels.

The text is parsed by `prometheus_client`, which is laxer than Prometheus itself. An answer that breaks off in the
middle of a line is refused here: it would give a number that lacks its last digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from labkit.errors import WatchError

Labels = frozenset[tuple[str, str]]
OF_TYPE = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}


class Term(NamedTuple):
    """One addend of a figure: the samples of a metric with these labels, times a factor."""

    metric: str
    where: Mapping[str, str] = {}
    factor: float = 1.0


class Exposition:
    """The samples of one answer.

    Args:
        text: the answer.

    Attributes:
        metrics: names of all metrics, as their samples are called: those that are announced and have no sample too.

    Raises:
        WatchError: the text is no exposition, or only the beginning of one.
    """

    def __init__(self, text: str) -> None:
        if not text.endswith("\n"):
            raise WatchError(
                "The answer breaks off in the middle of a line, so none of it is used: ask again, and look at what "
                "lies between here and the server if that goes on."
            )
        self.metrics: set[str] = set()
        self._samples: dict[str, dict[Labels, float]] = {}
        try:
            for family in text_string_to_metric_families(text):
                self.metrics.update(family.name + end for end in OF_TYPE.get(family.type, ("",)))
                for sample in family.samples:
                    self.metrics.add(sample.name)
                    self._samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = float(sample.value)
        except (ValueError, IndexError, TypeError):  # of a parser that is given anything
            raise WatchError(
                "The answer is not the text form of Prometheus: give the address of the metrics themselves, which is "
                "mostly http://HOST:PORT/metrics."
            ) from None

    def samples(self, metric: str, where: Mapping[str, str] = {}, ranks: Iterable[str] = ()) -> dict[Labels, float]:
        """The samples of a metric, NaN left out.

        Args:
            where: labels that they must have. A label that a sample lacks counts as "".
            ranks: labels of copies that all tell the same; of them one is taken, the first.
        """
        found = {}
        ranks = tuple(ranks)
        chosen: dict[Labels, tuple[list[str], Labels]] = {}
        for labels, value in self._samples.get(metric, {}).items():
            known = dict(labels)
            if math.isnan(value) or any(known.get(label, "") != wanted for label, wanted in where.items()):
                continue
            found[labels] = value
            if ranks:
                rest = frozenset(pair for pair in labels if pair[0] not in ranks)
                rank = [known.get(label, "") for label in ranks]
                if rest not in chosen or rank < chosen[rest][0]:
                    chosen[rest] = rank, labels
        return {labels: found[labels] for _, labels in chosen.values()} if ranks else found

    def label(self, metric: str, label: str) -> str:
        """What a label says on the first sample of a metric that has it; "" where there is none."""
        for labels in self._samples.get(metric, {}):
            for name, value in labels:
                if name == label:
                    return value
        return ""
