// A board of windows: `storm_view.js` and nothing else.

function render(view) {
  return stormView(view, card(view.el, "storm-board", view.model.get("title"))).close;
}

export default { render };
