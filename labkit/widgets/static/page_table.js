// PageTable: the board over the model's log. A live log arrives as chunks; a page that missed some catches up when the
// whole log is synced, which Python does about once a second and at the end.

/** The last of the steps after which most blocks are held. A board that opens before its first step shows nothing. */
function fullest(records) {
  let held = 0;
  let most = 0;
  let step = 0;
  for (let i = 0; i < records.length; i++) {
    if (records.kind[i] === KIND.ALLOCATE) held += 1;
    else if (records.kind[i] === KIND.FREE && records.arg[i] <= 0) held -= 1;
    const inside = i + 1 < records.length && records.step[i + 1] === records.step[i];
    if (inside || held < most) continue;
    most = held;
    step = records.step[i] + 1;
  }
  return step;
}

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
      step: model.get("photo") && model.get("step") === 0 ? fullest(new Records(bytesOf(model.get("records")))) : model.get("step"),
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
  const kernel = kernelOf({ model, el }, () => board.setLive(false));
  if (model.get("live")) kernel.ask(() => model.send({ type: "whole" }));
  return () => {
    model.off("change:records", whole);
    model.off("change:live", live);
    model.off("msg:custom", message);
    kernel.close();
    board.destroy();
  };
}

export default { render };
