// What the shared model does for the notebook that it stands in, once a page: it shows the widgets that JupyterLab gave
// up on, and keeps those whose kernel is gone when the notebook is saved. It draws nothing itself.

const VIEW = "application/vnd.jupyter.widget-view+json";
const REFERENCE = /(?:IPY_MODEL_|"model_id":")([\w-]+)/g;
const LOOK_AGAIN = [500, 2000, 5000]; // milliseconds after the restore
const page = (globalThis.__labkit ??= { modules: new Map(), imports: 0 });
const known = (page.managers ??= new WeakSet());

function* outputsOf(manager) {
  const cells = manager.context?.model?.cells;
  for (let i = 0; cells && i < cells.length; i++) {
    const outputs = cells.get(i).outputs;
    for (let j = 0; outputs && j < outputs.length; j++) {
      const id = outputs.get(j).data?.[VIEW]?.model_id;
      if (id) yield { outputs, at: j, id };
    }
  }
}

/**
 * JupyterLab looks two seconds for a widget's model and then says "model not found" for good, also where a busy page
 * restored it meanwhile. Setting the output anew draws it.
 */
function showAgain(manager) {
  for (const { outputs, at, id } of outputsOf(manager)) {
    if (!manager.has_model(id)) continue;
    Promise.resolve(manager.get_model(id)).then((model) => {
      if (!Object.keys(model.views || {}).length) outputs.set(at, outputs.get(at).toJSON());
    });
  }
}

/**
 * JupyterLab saves the state of widgets with a living kernel alone, so saving after a restart would lose all others.
 * Those without one are saved too where an output still shows them, or something that is shown refers to them. Of the
 * course's own no other is saved: a cell that was run again would leave its old ones in the file.
 */
function keepShown(manager) {
  const own = manager.get_state_sync?.bind(manager);
  if (!own || !manager._modelsSync) return; // another front end, with a way of its own
  manager.get_state_sync = (options) => {
    const gone = [...manager._modelsSync].filter(([, model]) => !model.comm_live);
    for (const [, model] of gone) model._comm_live = true; // past the setter, which tells the views
    let saved;
    try {
      saved = own(options);
    } finally {
      for (const [, model] of gone) model._comm_live = false;
    }
    const shown = new Set([...outputsOf(manager)].map(({ id }) => id));
    for (const id of shown) for (const [, other] of JSON.stringify(saved.state[id]?.state ?? {}).matchAll(REFERENCE)) shown.add(other);
    const old = new Set(gone.map(([id]) => id));
    for (const [id, { state }] of Object.entries(saved.state)) if (!shown.has(id) && (old.has(id) || "_kind" in state)) delete saved.state[id];
    return saved;
  };
}

export default {
  initialize({ model }) {
    const manager = model.widget_manager;
    if (!manager?.restored?.connect || known.has(manager)) return;
    known.add(manager);
    keepShown(manager);
    const soon = () => LOOK_AGAIN.forEach((wait) => setTimeout(showAgain, wait, manager));
    manager.restored.connect(soon);
    if (manager.restoredStatus) soon();
  },
};
