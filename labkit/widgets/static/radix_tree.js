// RadixTree: the board over the model's log.

function render({ model, el }) {
  const root = card(el, "radix-tree", model.get("title"));
  const board = treeBoard(root, {
    title: model.get("title"),
    subtitle: model.get("subtitle"),
    records: bytesOf(model.get("records")),
    pages: bytesOf(model.get("pages")),
    blocks: bytesOf(model.get("blocks")),
    blockEnds: bytesOf(model.get("block_ends")),
    texts: model.get("texts"),
    labels: model.get("labels"),
    notes: model.get("notes"),
    faults: model.get("faults"),
    pageBytes: model.get("page_bytes"),
    maxDepth: model.get("max_depth"),
    step: model.get("step"),
    fold: model.get("fold"),
  });
  return () => board.destroy();
}

export default { render };
