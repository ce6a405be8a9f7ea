// The knobs of a storm board: sliders and lists. A turned knob asks the kernel to run again, one run at a time.

function stormKnobs(view, root) {
  const { model } = view;
  const knobs = model.get("knobs");
  const status = h("p", { class: "lk-storm-status", role: "status" });
  const controls = new Map();
  let wanted = { ...model.get("settings") };
  let busy = false;
  let slow = 0;
  const kernel = kernelOf(view, (sentence) => {
    finish();
    wanted = { ...model.get("answer").settings };
    put();
    status.textContent = sentence;
  });
  const same = (a, b) => knobs.every(({ name }) => a[name] === b[name]);

  function ask() {
    if (busy || same(wanted, model.get("answer").settings)) return;
    busy = true;
    slow = setTimeout(() => (status.textContent = "Simulating …"), 250);
    root.dataset.busy = "";
    kernel.ask(() => {
      model.set("settings", { ...wanted });
      model.save_changes();
    });
  }
  function finish() {
    clearTimeout(slow);
    busy = false;
    delete root.dataset.busy;
  }
  function turn(name, place) {
    wanted = { ...wanted, [name]: Number(place) };
    put();
    ask();
  }
  function put() {
    for (const knob of knobs) {
      const { input, out } = controls.get(knob.name);
      const place = wanted[knob.name];
      input.value = String(place);
      if (out) {
        out.textContent = knob.values[place];
        input.setAttribute("aria-valuetext", knob.values[place]);
      }
    }
  }
  function answered() {
    const answer = model.get("answer");
    const asked = answer.for ?? answer.settings;
    const mine = same(asked, wanted);
    finish();
    if (mine) wanted = { ...answer.settings };
    put();
    status.textContent = answer.problem || answer.sentence;
    status.classList.toggle("lk-bad", Boolean(answer.problem));
    if (!mine) ask();
  }

  const boxes = knobs.map((knob) => {
    const id = uid("lk-knob");
    const input = knob.words
      ? h("select", { id, "data-key": `knob-${knob.name}` }, knob.values.map((text, i) => h("option", { value: i, text })))
      : h("input", { id, type: "range", min: 0, max: knob.values.length - 1, step: 1, "data-key": `knob-${knob.name}` });
    const out = knob.words ? null : h("output", { for: id, class: "lk-mono" });
    shield(input);
    input.addEventListener(knob.words ? "change" : "input", () => turn(knob.name, input.value));
    controls.set(knob.name, { input, out });
    return h("div", { class: "lk-storm-knob" }, h("label", { for: id, text: knob.title }), out, input);
  });
  put();
  const { sentence, problem } = model.get("answer");
  status.textContent = problem || sentence;
  model.on("change:answer", answered);
  return {
    node: knobs.length ? h("div", {}, h("div", { class: "lk-storm-knobs", role: "group", "aria-label": "Knobs" }, boxes), status) : null,
    close() {
      clearTimeout(slow);
      kernel.close();
      model.off("change:answer", answered);
    },
  };
}
