// Asking the kernel, and what is said where nobody answers.

const KERNEL_GONE = "The kernel that this needs is gone: run this cell again.";
const KERNEL_SILENCE = 3000; // milliseconds after which an idle kernel that has not heard is taken to be another one
const KERNEL_LOOK = 250;

/**
 * `ask(send)` runs `send`, which asks the kernel for something by a message or a changed trait. Where the kernel is gone
 * (restarted, shut down, or never there) it calls `lost(sentence)`: at once, or within five seconds. A kernel that is
 * busy with a cell is waited for. `close()` ends the waiting.
 */
function kernelOf({ model, el }, lost) {
  const manager = model.widget_manager;
  let timer = null;
  let silent = 0;

  // JupyterLab marks a view whose kernel has restarted; one that was shut down leaves the notebook without a kernel.
  const gone = () => Boolean(manager.gone) || el.classList.contains("jupyter-widgets-disconnected") || manager.kernel === null || manager.kernel?.status === "dead";
  const close = () => {
    clearInterval(timer);
    timer = null;
  };
  const fail = () => {
    close();
    lost(manager.gone ?? KERNEL_GONE); // a page that never has a kernel says it in its own words
  };
  const look = () => {
    silent = manager.kernel?.status === "busy" ? 0 : silent + KERNEL_LOOK;
    if (gone() || silent >= KERNEL_SILENCE) fail();
  };
  const heard = (content) => content?.type === "heard" && close();
  model.on("msg:custom", heard);

  return {
    ask(send) {
      if (gone()) return fail();
      try {
        model.send({ type: "hello" }); // every widget answers "heard": labkit/widgets/base.py
      } catch {
        return fail(); // "Cannot send": the line to the kernel was cut
      }
      silent = 0;
      timer ??= setInterval(look, KERNEL_LOOK);
      send();
    },
    close() {
      close();
      model.off("msg:custom", heard);
    },
  };
}
