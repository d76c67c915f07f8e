// Everything here is an extra; the page is complete without it.
(() => {
  const page = document.currentScript.closest(".convscope");
  const make = (name, className, parent) => {
    const element = document.createElement(name);
    element.className = className;
    parent.append(element);
    return element;
  };

  // How strongly the maps cover the gray pictures.
  if (page.querySelector(".over")) {
    const tools = make("div", "tools", document.createElement("div"));
    page.querySelector("header").after(tools);
    const label = make("label", "", tools);
    label.textContent = "map over the picture ";
    const slider = make("input", "", label);
    Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.02, value: 1 });
    slider.addEventListener("input", () => page.style.setProperty("--opacity", slider.value));
    make("span", "", tools).textContent = "Point at a picture to read values, click to enlarge.";
  }

  // Point at a pixel in one picture: it is marked in all pictures of the row, and the bare maps tell its value, read
  // back from the color through the color bar.
  const pixelsOf = (image) => {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  };
  const key = (data, place) => data[place] * 65536 + data[place + 1] * 256 + data[place + 2];
  const reader = (card) => {
    const bar = pixelsOf(card.querySelector(".bar"));
    const level = new Map();
    for (let k = 0; k < bar.width; k++) level.set(key(bar.data, 4 * k), k);
    const map = pixelsOf(card.querySelector(".map"));
    const low = Number(card.dataset.low), high = Number(card.dataset.high);
    return (x, y) => {
      const column = Math.min(map.width - 1, Math.floor(x * map.width));
      const row = Math.min(map.height - 1, Math.floor(y * map.height));
      const k = level.get(key(map.data, 4 * (row * map.width + column)));
      if (k === undefined) return "not finite";
      const value = low + ((high - low) * (k + 0.5)) / bar.width;
      const end = k === bar.width - 1 ? "≥ " : k === 0 && low < 0 ? "≤ " : "≈ ";
      const zero = Math.abs(value) <= ((high - low) * 0.5001) / bar.width;
      return (zero ? "≈ 0" : end + value.toPrecision(2)).replaceAll("-", "−");
    };
  };
  for (const article of page.querySelectorAll("article")) {
    const frames = [...article.querySelectorAll(".frame")];
    const crosses = frames.map((frame) => make("span", "cross", frame));
    const readings = [...article.querySelectorAll(".card")].map((card) => {
      const read = { now: null };
      const shown = make("span", "reading", card.querySelector(".map").parentElement);
      return (x, y) => {
        read.now ??= reader(card);
        shown.textContent = read.now(x, y);
      };
    });
    for (const frame of frames) {
      frame.addEventListener("pointermove", (event) => {
        const box = frame.getBoundingClientRect();
        const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
        if (x < 0 || x >= 1 || y < 0 || y >= 1) return;
        article.classList.add("pointed");
        for (const cross of crosses) Object.assign(cross.style, { left: `${100 * x}%`, top: `${100 * y}%` });
        for (const show of readings) show(x, y);
      });
      frame.addEventListener("pointerleave", () => article.classList.remove("pointed"));
    }
  }

  // Click or press Enter to enlarge; Escape or another click to go back.
  for (const frame of page.querySelectorAll(".frame")) {
    const enlarge = () => {
      const dialog = make("dialog", "", page);
      dialog.append(frame.cloneNode(true));
      dialog.addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => dialog.remove());
      dialog.showModal();
    };
    frame.classList.add("zoom");
    Object.assign(frame, { tabIndex: 0, role: "button" });
    frame.addEventListener("click", enlarge);
    frame.addEventListener("keydown", (event) => event.key === "Enter" && enlarge());
  }
})();
