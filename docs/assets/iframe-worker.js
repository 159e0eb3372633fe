// Search in pages that are opened from disk, where browsers start no workers: the worker's script
// runs in a hidden frame instead. The theme would fetch such a script from the network.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #waiting = [];

    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.#window = frame.contentWindow;
      this.#window.postMessage = (data) =>
        setTimeout(() => this.dispatchEvent(new MessageEvent("message", { data })));
      const script = frame.contentDocument.createElement("script");
      script.src = new URL(url, location.href);
      script.onload = () => {
        const waiting = this.#waiting;
        this.#waiting = null;
        waiting.forEach((data) => this.postMessage(data));
      };
      frame.contentDocument.body.append(script);
    }

    #window;

    postMessage(data) {
      if (this.#waiting) this.#waiting.push(data);
      else this.#window.dispatchEvent(new MessageEvent("message", { data }));
    }

    terminate() {
      this.#window.frameElement.remove();
    }
  };
}
