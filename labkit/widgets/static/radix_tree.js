// RadixTree: the board over the model's log.

function render({ model, el }) {
  const root = card(el, "radix-tree", model.get("title"));
  const board = treeBoard(root, treeData((name) => model.get(name)));
  return () => board.destroy();
}

export default { render };
