// What each widget carries: it fetches the page's code from the notebook's one Library model and draws with it.

const page = (globalThis.__labkit ??= { modules: new Map(), imports: 0 });
const hearing = (page.hearing ??= new WeakSet());

/**
 * anywidget waits two seconds for this module. To a model that was not ready by then, though the page was only busy, it
 * never passes a message of the kernel again. Such a model gets them past that waiting, and asks for what it missed.
 */
function hear(manager) {
  for (const [, model] of manager?._modelsSync ?? []) {
    if (!("_kind" in model.attributes) || !model.comm || hearing.has(model)) continue;
    hearing.add(model);
    model._handle_comm_msg({ content: { data: { method: "nothing" } } }).catch(() => {
      const { _handle_comm_msg: handle } = Object.getPrototypeOf(Object.getPrototypeOf(model)); // what anywidget overrides
      model.comm.on_msg((message) => handle.call(model, message));
      model.comm.send({ method: "request_state" });
    });
  }
}

function widgets(model) {
  const code = model.get("_code");
  if (!page.modules.has(code)) {
    const loaded = load(model, code);
    loaded.catch(() => page.modules.delete(code)); // the next widget tries again
    page.modules.set(code, loaded);
  }
  return page.modules.get(code);
}

async function load(model, code) {
  const library = await find(model, model.get("_library").replace("IPY_MODEL_", ""));
  const url = URL.createObjectURL(new Blob([library.get("bundle")], { type: "text/javascript" }));
  page.imports += 1;
  const module = await import(url).finally(() => URL.revokeObjectURL(url));
  const style = Object.assign(document.createElement("style"), { id: `labkit-${code}`, textContent: library.get("style") });
  document.head.append(style);
  return module.default;
}

async function find(model, id, tries = 6) {
  try {
    return await model.widget_manager.get_model(id);
  } catch (error) {
    if (tries <= 1) throw error;
    await new Promise((done) => setTimeout(done, 300)); // a page that is busy restoring has it a moment later
    return find(model, id, tries - 1);
  }
}

export default {
  initialize({ model }) {
    hear(model.widget_manager);
  },
  async render(view) {
    try {
      const { [view.model.get("_kind")]: widget } = await widgets(view.model);
      if (!view.signal?.aborted) return widget.render(view);
    } catch (error) {
      view.el.textContent = "This picture lacks its code: run this cell again.";
      throw error;
    }
  },
};
