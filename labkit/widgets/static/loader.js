// What each widget carries: it fetches the page's code from the notebook's one Library model and draws with it.

const page = (globalThis.__labkit ??= { modules: new Map(), imports: 0 });

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
