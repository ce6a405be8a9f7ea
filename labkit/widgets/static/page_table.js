// PageTable: the board over the model's log. A live log arrives as chunks; a page that missed some catches up when the
// whole log is synced, which Python does about once a second and at the end.

function render({ model, el }) {
  const root = card(el, "page-table", model.get("title"));
  const names = () => ({ names: model.get("names"), slots: model.get("slots"), labels: model.get("labels") });
  let board = build();

  function build() {
    return pageBoard(root, {
      title: model.get("title"),
      subtitle: model.get("subtitle"),
      numBlocks: model.get("num_blocks"),
      blockSize: model.get("block_size"),
      bytes: bytesOf(model.get("records")),
      step: model.get("step"),
      live: model.get("live"),
      ...names(),
    });
  }

  const whole = () => {
    const bytes = bytesOf(model.get("records"));
    const have = board.count() * RECORD_BYTES;
    if (bytes.byteLength < have) {
      board.destroy();
      root.replaceChildren();
      board = build();
    } else if (bytes.byteLength > have || model.get("labels").length !== board.labels().length) {
      board.push(bytes.subarray(have), names());
    }
  };
  const message = (content, buffers) => {
    if (!content || content.type !== "append") return;
    const have = board.count();
    if (content.from > have) return; // a gap: the next whole log closes it
    const bytes = bytesOf(buffers[0]);
    const labels = board.labels().slice(0, content.labels_from).concat(content.labels);
    if (labels.length < content.labels_from) return;
    board.push(bytes.subarray((have - content.from) * RECORD_BYTES), { names: content.names, slots: content.slots, labels });
  };
  const live = () => board.setLive(model.get("live"));
  model.on("change:records", whole);
  model.on("change:live", live);
  model.on("msg:custom", message);
  if (model.get("live")) model.send({ type: "whole" });
  return () => {
    model.off("change:records", whole);
    model.off("change:live", live);
    model.off("msg:custom", message);
    board.destroy();
  };
}

export default { render };
