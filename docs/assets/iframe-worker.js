/*
 * Browsers start no worker from file://. There the search runs in a hidden frame instead, so that the
 * built site can be searched without a server. The theme would load such a script from the network.
 */
'use strict';
if (location.protocol === 'file:') {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = null;
      this.frame = document.createElement('iframe');
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const inner = this.frame.contentWindow;
      this.ready = new Promise((resolve) => { inner.searchIsReady = resolve; });
      inner.document.open();
      inner.document.write(
        '<!doctype html><html><body><script>postMessage = parent.postMessage.bind(parent);' +
        'importScripts = () => {};</script><script src="' + url + '"></script>' +
        '<script>searchIsReady();</script></body></html>');
      inner.document.close();
      window.addEventListener('message', (event) => {
        if (event.source !== inner) return;
        const message = new MessageEvent('message', {data: event.data});
        this.dispatchEvent(message);
        if (this.onmessage) this.onmessage(message);
      });
    }

    postMessage(data) {
      const inner = this.frame.contentWindow;
      this.ready.then(() => inner.dispatchEvent(new MessageEvent('message', {data})));
    }

    terminate() { this.frame.remove(); }
  };
}
