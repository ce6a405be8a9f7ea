// Shows the widgets of a saved notebook in any page: no kernel, no network, no widget manager of Jupyter's.
//
// The page holds the saved state as JSON in <script id="labkit-widgets"> ({models: {id: {state, buffers}}, photo}) and
// an element with data-widget="ID" wherever a widget is to stand. What lies in such an element is its text, which
// stays where the widget cannot be shown. `photo` asks every widget for the form in which it is photographed.

const GONE = "This page has no kernel. Open the notebook in JupyterLab and run this cell there to go on.";

function decode(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new DataView(bytes.buffer);
}

async function found(models, id) {
  if (!models.has(id)) throw new Error(`The notebook holds no widget ${id}.`);
  return models.get(id);
}

/** The part of a widget's model that page code uses, over saved state. */
class SavedModel {
  constructor(id, { state, buffers = [] }, models) {
    this.model_id = id;
    this.state = state;
    this.listeners = new Map();
    this.widget_manager = { gone: GONE, get_model: (ref) => found(models, ref) }; // `gone`: see kernel.js
    for (const { path, data } of buffers) {
      let at = state;
      for (const key of path.slice(0, -1)) at = at[key];
      at[path[path.length - 1]] = decode(data);
    }
  }

  get(key) {
    return this.state[key];
  }

  set(key, value) {
    for (const [name, v] of Object.entries(typeof key === "string" ? { [key]: value } : key)) {
      if (this.state[name] === v) continue;
      this.state[name] = v;
      this.emit(`change:${name}`, this, v);
      this.emit("change", this);
    }
  }

  emit(name, ...args) {
    for (const listener of [...(this.listeners.get(name) || [])]) listener(...args);
  }

  on(names, listener) {
    for (const name of names.split(" ")) {
      if (!this.listeners.has(name)) this.listeners.set(name, new Set());
      this.listeners.get(name).add(listener);
    }
  }

  off(names, listener) {
    for (const name of names ? names.split(" ") : [...this.listeners.keys()]) {
      if (listener) this.listeners.get(name)?.delete(listener);
      else this.listeners.delete(name);
    }
  }

  save_changes() {}

  send() {}
}

async function mount() {
  const { models: saved, photo } = JSON.parse(document.getElementById("labkit-widgets").textContent);
  const models = new Map();
  for (const [id, entry] of Object.entries(saved)) {
    if (photo) entry.state.photo = true;
    models.set(id, new SavedModel(id, entry, models));
  }
  const host = { getModel: (ref) => found(models, ref.replace(/^(anywidget:|IPY_MODEL_)/, "")) };
  const modules = new Map(); // one import for each text
  const load = (text) => {
    if (!modules.has(text)) {
      const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      modules.set(text, import(url).then((module) => (typeof module.default === "function" ? module.default() : module.default)));
    }
    return modules.get(text);
  };
  const styles = new Set();
  const show = async (place) => {
    const model = await found(models, place.dataset.widget);
    const widget = await load(model.get("_esm"));
    const css = model.get("_css");
    if (css && !styles.has(css)) {
      styles.add(css);
      document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
    }
    const given = { model, host, signal: new AbortController().signal, experimental: { invoke: () => Promise.reject(new Error(GONE)) } };
    await widget.initialize?.(given);
    place.closest(".jp-RenderedHTMLCommon")?.classList.remove("jp-RenderedHTMLCommon"); // its looks are for plain HTML
    const el = document.createElement("div");
    const text = [...place.childNodes];
    place.append(el); // in the page before it is drawn: canvases take their size and colours from where they stand
    for (const node of text) node.remove();
    try {
      await widget.render({ ...given, el });
    } catch (error) {
      place.replaceChildren(...text);
      throw error;
    }
    place.dataset.mounted = "";
  };
  const places = [...document.querySelectorAll("[data-widget]")];
  const failed = (await Promise.allSettled(places.map(show))).filter((result) => result.status === "rejected");
  for (const { reason } of failed) console.error(reason);
  document.documentElement.dataset.labkitMounted = `${places.length - failed.length}/${places.length}`;
}

mount();
