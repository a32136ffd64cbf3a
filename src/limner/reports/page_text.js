// Text: offsets, highlights, search. Pure functions, without the document.

// Python counts code points, JavaScript counts UTF-16 code units; an emoji is one of the former and two of the latter.
// Gives the code unit index of each code point index in `points`, in one walk.
function codeUnits(text, points) {
  if (!/[\ud800-\udfff]/.test(text)) return points.map((point) => Math.min(point, text.length));
  const order = [...points.keys()].sort((a, b) => points[a] - points[b]);
  const found = new Array(points.length);
  let unit = 0;
  let point = 0;
  for (const index of order) {
    while (point < points[index] && unit < text.length) {
      unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
      point += 1;
    }
    found[index] = unit;
  }
  return found;
}

// The slice of a text between two code point indexes.
function slicePoints(text, start, end) {
  const [from, to] = codeUnits(text, [start, end]);
  return text.slice(from, to);
}

// Whether a quote stands at the place it claims.
function isExact(text, start, end, quote) {
  return typeof text === "string" && start >= 0 && end > start && slicePoints(text, start, end) === quote;
}

// Cuts a text into marked and unmarked parts. `spans` are pairs of code point indexes; overlapping ones are joined.
function markedParts(text, spans) {
  const flat = codeUnits(text, spans.flat());
  const ranges = spans.map((_, i) => [flat[2 * i], flat[2 * i + 1]]).filter(([a, b]) => b > a);
  ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const parts = [];
  let at = 0;
  for (const [start, end] of ranges) {
    if (end <= at) continue;
    if (start < at) {
      parts[parts.length - 1].text += text.slice(at, end);
    } else {
      if (start > at) parts.push({ text: text.slice(at, start), marked: false });
      parts.push({ text: text.slice(start, end), marked: true });
    }
    at = end;
  }
  if (at < text.length) parts.push({ text: text.slice(at), marked: false });
  return parts;
}

// A cut that does not fall inside a surrogate pair.
function safeCut(text, at) {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at - 1 : at;
}

// Shortens the unmarked parts of a long text to `around` characters beside each mark.
function shortened(parts, around) {
  if (!parts.some((part) => part.marked)) {
    const text = parts.map((part) => part.text).join("");
    return text.length <= 4 * around ? parts : [{ text: text.slice(0, safeCut(text, 4 * around)) + " …", marked: false }];
  }
  return parts.map((part, index) => {
    const first = index === 0;
    const last = index === parts.length - 1;
    const keep = around * (first || last ? 1 : 2);
    if (part.marked || part.text.length <= keep + 40) return part;
    const head = first ? "" : part.text.slice(0, safeCut(part.text, around));
    const tail = last ? "" : part.text.slice(safeCut(part.text, part.text.length - around));
    return { text: `${head} … ${tail}`, marked: false };
  });
}

// Text as it is compared in a search: full-width and half-width, upper and lower case are the same.
function folded(text) {
  return String(text).normalize("NFKC").toLowerCase();
}

// Whether every word of a search stands in an already folded text.
function matches(haystack, query) {
  return folded(query).split(/\s+/).every((word) => haystack.includes(word));
}

// A phrase with numbered gaps filled: "{0} of {1}".
function filled(pattern, values) {
  return pattern.replace(/\{(\d)\}/g, (_, index) => String(values[index]));
}

// Cuts a line of an answer at its marks: [1], [2-5], [1, 3-4]. `numbers` is empty for the text between them.
function answerParts(line) {
  return line.split(/(\[\d{1,4}(?:\s*[-–,，、]\s*\d{1,4})*\])/).filter(Boolean).map((text) => {
    if (!/^\[\d/.test(text)) return { text, numbers: [] };
    const numbers = text.slice(1, -1).split(/[,，、]/).flatMap((piece) => {
      const [first, last = first] = piece.split(/[-–]/).map(Number);
      return Array.from({ length: Math.max(0, Math.min(last - first + 1, 500)) }, (_, i) => first + i);
    });
    return { text, numbers };
  });
}
