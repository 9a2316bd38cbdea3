// Looks at every picture of the page as a reader with a ruler and a light meter would.
"use strict";

const TOUCHING = 0.5; // Pixels: what two shapes may share by rounding.
const LEAST_OF_TEXT = 4.5; // WCAG 2, level AA.
const LEAST_OF_SHAPES = 3.0;

// ---------------------------------------------------------------- geometry

const onScreen = (element, points) => {
  const matrix = element.getScreenCTM();
  return points.map(([x, y]) => new DOMPoint(x, y).matrixTransform(matrix));
};

const cornersOf = (cell) => {
  const numbers = cell.getAttribute("d").match(/-?[\d.]+/g).map(Number);
  const points = [];
  for (let i = 0; i < numbers.length; i += 2) points.push([numbers[i], numbers[i + 1]]);
  return onScreen(cell, points);
};

const rectangleOf = (element, around = 0) => {
  const { x, y, width, height } = element.getBBox();
  const [left, right] = [x - around, x + width + around];
  const [top, bottom] = [y - around, y + height + around];
  return onScreen(element, [[left, top], [right, top], [right, bottom], [left, bottom]]);
};

const boundsOf = (points) => {
  const xs = points.map((p) => p.x), ys = points.map((p) => p.y);
  return { left: Math.min(...xs), right: Math.max(...xs),
           top: Math.min(...ys), bottom: Math.max(...ys) };
};

const normalsOf = (points) =>
  points.map((p, i) => {
    const q = points[(i + 1) % points.length];
    const length = Math.hypot(q.x - p.x, q.y - p.y);
    return [(p.y - q.y) / length, (q.x - p.x) / length];
  });

const shadowOf = (points, [nx, ny]) => {
  const along = points.map((p) => p.x * nx + p.y * ny);
  return [Math.min(...along), Math.max(...along)];
};

// Two convex shapes are apart where some edge of either has them on different sides.
const overlap = (one, other) =>
  [...normalsOf(one.points), ...normalsOf(other.points)].every((normal) => {
    const [low, high] = shadowOf(one.points, normal);
    const [least, most] = shadowOf(other.points, normal);
    return Math.min(high, most) - Math.max(low, least) > TOUCHING;
  });

const isInside = (inner, outer) =>
  normalsOf(outer.points).every((normal) => {
    const [low, high] = shadowOf(inner.points, normal);
    const [least, most] = shadowOf(outer.points, normal);
    return least - TOUCHING <= low && high <= most + TOUCHING;
  });

// Whether the line runs over the text, which is looked at in 25 places.
const covers = (line, { bounds: { left, right, top, bottom } }) => {
  const back = line.getScreenCTM().inverse();
  const steps = [0, 0.25, 0.5, 0.75, 1];
  return steps.some((across) => steps.some((down) => {
    const point = new DOMPoint(left + (right - left) * across, top + (bottom - top) * down);
    return line.isPointInStroke(point.matrixTransform(back));
  }));
};

// What may overlap, found by sweeping from left to right.
const pairsOf = function* (shapes) {
  const sorted = [...shapes].sort((a, b) => a.bounds.left - b.bounds.left);
  let open = [];
  for (const shape of sorted) {
    open = open.filter((other) => other.bounds.right > shape.bounds.left);
    for (const other of open) {
      if (other.bounds.top < shape.bounds.bottom && shape.bounds.top < other.bounds.bottom) {
        yield [other, shape];
      }
    }
    open.push(shape);
  }
};

// ------------------------------------------------------------------- light

const luminance = (colour) => {
  const [red, green, blue] = colour.match(/[\d.]+/g).slice(0, 3).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};

const contrast = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};

// -------------------------------------------------------------- inspection

const shapeOf = (element, points) => ({ element, points, bounds: boundsOf(points) });

const inspect = (svg, view) => {
  const problems = [];
  const style = (element) => view.getComputedStyle(element);
  const nameOf = (element) => element.textContent.trim() ||
    `${element.parentNode.textContent.trim()} (${element.getAttribute("class")})`;
  const all = (selector) => [...svg.querySelectorAll(selector)];

  const paper = all(".paper")[0];
  const cells = all(".cell").map((cell) => shapeOf(cell, cornersOf(cell)));
  const texts = all("text").map((text) => shapeOf(text, rectangleOf(text)));
  const byParent = new Map(cells.map((cell) => [cell.element.parentNode, cell]));
  const homes = new Map(texts.map((text) => [text, byParent.get(text.element.parentNode)]));

  for (const [text, home] of homes) {
    const name = nameOf(text.element);
    if (!(text.element.getComputedTextLength() > 0)) problems.push(`${name}: not rendered`);
    if (home && !isInside(text, home)) problems.push(`${name}: leaves its hexagon`);
    const ground = style(home ? home.element : paper).fill;
    const ratio = contrast(style(text.element).fill, ground);
    if (ratio < LEAST_OF_TEXT) problems.push(`${name}: contrast of text ${ratio.toFixed(2)}`);
  }
  for (const [one, other] of pairsOf([...cells, ...texts])) {
    if (homes.get(one) === other || homes.get(other) === one) continue;
    if (overlap(one, other)) {
      problems.push(`${nameOf(one.element)} and ${nameOf(other.element)}: overlap`);
    }
  }
  const page = svg.getBoundingClientRect();
  for (const { element, bounds } of [...cells, ...texts]) {
    if (bounds.left < page.left || bounds.right > page.right ||
        bounds.top < page.top || bounds.bottom > page.bottom) {
      problems.push(`${nameOf(element)}: leaves the picture`);
    }
  }
  for (const [selector, property, against] of [
    [".free .cell", "stroke", "paper"],
    [".other .cell", "stroke", "paper"],
    [".dead .cell", "stroke", "paper"],
    [".cross", "stroke", "paper"],
    [".outline", "stroke", "paper"],
    [".broken", "stroke", "halo"],
  ]) {
    for (const element of all(selector)) {
      const ground = against === "halo" ? style(element.previousSibling).stroke : style(paper).fill;
      const ratio = contrast(style(element)[property], ground);
      if (ratio < LEAST_OF_SHAPES) problems.push(`${selector}: contrast ${ratio.toFixed(2)}`);
    }
  }
  for (const halo of all(".halo")) {
    const near = shapeOf(halo, rectangleOf(halo, parseFloat(style(halo).strokeWidth) / 2));
    for (const [one, other] of pairsOf([near, ...texts])) {
      const text = one === near ? other : one;
      if ((one === near || other === near) && covers(halo, text)) {
        problems.push(`${nameOf(halo)}: covers ${nameOf(text.element)}`);
      }
    }
  }
  return {
    problems,
    paper: style(paper).fill,
    boards: all(".board").length,
    keys: all(".board .key").map((key) => key.textContent),
    dead: all(".board.dead").length,
    broken: all(".board ~ g .broken").length,
    entries: all(".entry").map((entry) => entry.textContent),
    tooltips: all(".board > title").map((title) => title.textContent),
    role: svg.getAttribute("role"),
    labels: ["aria-labelledby", "aria-describedby"].map(
      (name) => svg.ownerDocument.getElementById(svg.getAttribute(name)).textContent),
  };
};

addEventListener("load", () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const svg = frame.contentDocument.documentElement;
    found[frame.title] = inspect(svg, frame.contentWindow);
  }
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(found);
  document.body.replaceChildren(result);
});
