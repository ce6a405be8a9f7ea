// Your own work: four fields and a button. What is typed goes to Python when it is asked to be kept, and nowhere else.

function render({ model, el }) {
  const root = card(el, "own-work", "Your own work");
  const body = h("div", {});
  root.append(body);
  const say = liveRegion(root);
  const inputs = {};
  const status = h("p", { class: "lk-sub" });

  const tell = (ok, text) => {
    status.className = ok ? "lk-sub" : "lkq-refused";
    status.textContent = ok || !text ? text : `▲ ${text}`;
    say(text);
  };
  const kernel = kernelOf({ model, el }, (words) => tell(false, words));

  function keep() {
    const fields = Object.fromEntries(Object.entries(inputs).map(([name, node]) => [name, node.value]));
    kernel.ask(() => model.send({ type: "keep", fields }));
  }

  body.append(
    h("p", { class: "lkq-legend", text: "Your own work" }),
    h("p", { class: "lk-sub", text: "Kept on this machine and sent nowhere. labkit report --own-work puts it into your report." }),
    h("div", { class: "lkw-fields" }, model.get("fields").map((field) => {
      const id = uid("lkw");
      const node = h("textarea", { id, class: "lkq-field", rows: field.name === "checked" ? 3 : 2, maxlength: field.most, spellcheck: "true", "data-key": field.name, on: { input: () => { status.textContent = ""; } } });
      node.value = field.text;
      inputs[field.name] = shield(node);
      return h("div", { class: "lkw-field" }, h("label", { for: id, text: field.label }), inputs[field.name]);
    })),
    h("div", { class: "lkq-foot" }, button("Keep it", keep, { kind: "primary", key: "keep" }), status),
  );

  const onFields = () => {
    for (const field of model.get("fields")) if (document.activeElement !== inputs[field.name]) inputs[field.name].value = field.text;
  };
  const onSaid = () => tell(model.get("said").ok, model.get("said").text);
  model.on("change:fields", onFields);
  model.on("change:said", onSaid);
  if (model.get("said").text) onSaid();
  return () => {
    model.off("change:fields", onFields);
    model.off("change:said", onSaid);
    kernel.close();
  };
}

export default { render };
