/** The look of the editor and the previews, in the colours of ComfyUI's theme. */

const CSS = `
.rag-canvas, .rag-still { --rag-up: 1; box-sizing: border-box; display: flex; flex-direction: column; gap: 4px;
  width: 100%; color: var(--input-text, #ddd); font: 12px/1.35 system-ui, sans-serif; user-select: none; }
.rag-canvas { height: 100%; min-height: 420px; }
.rag-canvas *, .rag-still * { box-sizing: border-box; }
.rag-canvas [hidden], .rag-still [hidden] { display: none !important; }
.rag-canvas button, .rag-canvas input, .rag-canvas textarea { font: inherit; color: inherit; margin: 0;
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e); border-radius: 4px; }
.rag-canvas button { cursor: pointer; padding: 2px 7px; min-height: 24px; }
.rag-canvas button:hover { border-color: var(--input-text, #ddd); }
.rag-canvas :focus-visible, .rag-region:focus-visible { outline: 2px solid var(--p-primary-color, #4a9eff); outline-offset: 1px; }
.rag-canvas input, .rag-canvas textarea { padding: 2px 4px; min-width: 0; width: 100%; user-select: text; }
.rag-canvas textarea { resize: none; display: block; }
.rag-icon { padding: 2px 4px !important; line-height: 0; }
.rag-icon svg { width: 16px; height: 16px; fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linecap: round;
  stroke-linejoin: round; }
.rag-bar { display: flex; flex-wrap: wrap; gap: 3px; }
.rag-panel { display: flex; flex-direction: column; gap: 4px; margin-top: 4px; padding: 6px;
  border: 1px solid var(--border-color, #4e4e4e); border-radius: 4px; }
.rag-panel p { margin: 0; user-select: text; }
.rag-help { max-height: 300px; overflow-y: auto; }
.rag-help button { align-self: start; }
.rag-presets { display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 3px; }
.rag-ratio-row { display: flex; gap: 3px; }
.rag-reason { color: var(--error-text, #ff6b6b); }
.rag-reason:empty { display: none; }
.rag-broken { display: flex; flex: 1; flex-direction: column; gap: 6px; min-height: 0; overflow-wrap: anywhere; }
.rag-raw { flex: 1; min-height: 80px; font-family: monospace !important; }
.rag-stage { flex: 1 1 0; min-height: 190px; container-type: size; display: grid; place-items: start center; touch-action: none; }
.rag-paper { --rag-aspect: 1; position: relative; width: min(100cqw, 100cqh * var(--rag-aspect));
  height: min(100cqh, 100cqw / var(--rag-aspect));
  background-color: color-mix(in srgb, var(--comfy-input-bg, #222) 70%, var(--input-text, #ddd));
  outline: 1px solid var(--border-color, #4e4e4e); cursor: crosshair; touch-action: none; }
.rag-paper::after { content: ""; position: absolute; inset: 0; pointer-events: none; opacity: .25;
  background-image: linear-gradient(to right, var(--descrip-text, #999) 1px, transparent 1px),
    linear-gradient(to bottom, var(--descrip-text, #999) 1px, transparent 1px);
  background-size: var(--rag-grid-x, 100%) var(--rag-grid-y, 100%); }
.rag-image, .rag-shade, .rag-regions, .rag-patches { position: absolute; inset: 0; width: 100%; height: 100%; }
.rag-image { object-fit: fill; pointer-events: none; }
.rag-shade { pointer-events: none; }
.rag-shade > rect { fill: #000; fill-opacity: .45; }
.rag-region { position: absolute; border: 2px solid var(--rag-tint);
  background: color-mix(in srgb, var(--rag-tint) 22%, transparent); cursor: move; }
.rag-region[aria-selected="true"] { z-index: 2; border-width: 3px;
  box-shadow: 0 0 0 1px #fff, 0 0 0 2px #000; }
.rag-region.rag-locked { cursor: default; }
.rag-region.rag-off { border-style: dashed; background: none; opacity: .7; }
.rag-inside { position: absolute; inset: 0; padding: calc(19px * var(--rag-up)) 3px 2px; overflow: hidden; pointer-events: none; }
.rag-words { padding: 0 3px; color: #fff; background: rgb(0 0 0 / .6); font-size: calc(11px * var(--rag-up));
  line-height: 1.4; white-space: pre-wrap; overflow-wrap: anywhere; box-decoration-break: clone;
  -webkit-box-decoration-break: clone; }
.rag-words:empty { display: none; }
.rag-label { position: absolute; top: -2px; left: -2px; display: flex; white-space: nowrap; pointer-events: none;
  transform: translateX(calc(100% * var(--rag-step, 0))); font-size: calc(12px * var(--rag-up)); line-height: 1.4; }
.rag-label b { min-width: 1.5em; padding: 0 .3em; text-align: center; color: var(--rag-ink); background: var(--rag-tint); }
.rag-size { position: absolute; right: 8px; bottom: 2px; padding: 0 .3em; color: #fff; background: rgb(0 0 0 / .65);
  font-size: calc(11px * var(--rag-up)); line-height: 1.4; white-space: nowrap; pointer-events: none; }
.rag-size:empty { display: none; }
.rag-patches, .rag-handles { pointer-events: none; }
.rag-patch { position: absolute; background: repeating-linear-gradient(135deg, rgb(255 255 255 / .55) 0 2px, transparent 2px 8px); }
.rag-handles { position: absolute; z-index: 3; }
.rag-handles i { --rag-grip: calc(10px * var(--rag-up)); position: absolute; width: var(--rag-grip); height: var(--rag-grip);
  margin: calc(var(--rag-grip) / -2); background: #fff; border: 1px solid #000; border-radius: 2px; pointer-events: auto; }
.rag-handles i::after { content: ""; position: absolute; inset: calc(-4px * var(--rag-up)); }
.rag-handles [data-handle*="n"] { top: 0; } .rag-handles [data-handle*="s"] { top: 100%; }
.rag-handles [data-handle*="w"] { left: 0; } .rag-handles [data-handle*="e"] { left: 100%; }
.rag-handles [data-handle="n"], .rag-handles [data-handle="s"] { left: 50%; cursor: ns-resize; }
.rag-handles [data-handle="e"], .rag-handles [data-handle="w"] { top: 50%; cursor: ew-resize; }
.rag-handles [data-handle="nw"], .rag-handles [data-handle="se"] { cursor: nwse-resize; }
.rag-handles [data-handle="ne"], .rag-handles [data-handle="sw"] { cursor: nesw-resize; }
.rag-draft { position: absolute; z-index: 4; border: 2px dashed var(--rag-tint); padding: 0 4px; color: #fff;
  background: color-mix(in srgb, var(--rag-tint) 30%, transparent); text-shadow: 0 0 3px #000; pointer-events: none;
  font-size: calc(11px * var(--rag-up)); white-space: nowrap; }
.rag-empty { position: absolute; inset: 0; display: grid; place-items: center; text-align: center; padding: 8px;
  color: #fff; text-shadow: 0 0 4px #000; pointer-events: none; font-size: calc(13px * var(--rag-up)); }
.rag-prompt { position: absolute; z-index: 5; min-width: min(100%, 140px) !important; min-height: 44px;
  background: var(--comfy-input-bg, #222) !important; }
.rag-list { flex: 0 1 auto; min-height: 28px; max-height: 200px; overflow-y: auto; display: flex; flex-direction: column; gap: 2px; }
.rag-list:empty { display: none; }
.rag-row { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 3px; align-items: start; flex: none; }
.rag-chosen { outline: 1px solid var(--p-primary-color, #4a9eff); outline-offset: -1px; border-radius: 4px; }
.rag-row.rag-off { opacity: .65; }
.rag-chip { min-width: 26px; font-weight: bold !important; }
.rag-text { height: 24px; overflow: hidden; }
.rag-chosen .rag-text { height: 40px; overflow: auto; }
.rag-more { grid-column: 1 / -1; display: flex; flex-direction: column; gap: 3px; padding: 0 3px 3px; }
.rag-buttons, .rag-numbers { display: flex; flex-wrap: wrap; gap: 3px; }
.rag-buttons input { width: 28px; height: 24px; padding: 1px; }
.rag-numbers label { display: flex; flex: 1 1 64px; align-items: center; gap: 3px; }
.rag-status { flex: none; color: var(--descrip-text, #999); font-size: 11px; max-height: 3.9em; overflow: hidden; }
.rag-speaker { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.rag-still { min-height: 96px; height: 100%; }
.rag-still .rag-stage { min-height: 72px; }
.rag-still .rag-paper, .rag-still .rag-region { cursor: default; }
.rag-still .rag-paper { overflow: hidden; }
.rag-canvas button:disabled { opacity: .5; cursor: default; }
.rag-still .rag-paper::after { display: none; }
.rag-still .rag-words { font-size: 10px; }
.rag-still .rag-label { font-size: 10px; top: 0; left: 0; }
.rag-still .rag-inside { padding-top: 15px; }
.rag-still .rag-region { border-width: 1px; }
.rag-ratio { font-family: monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
.rag-ratio mark { color: inherit; background: none; text-decoration: underline wavy var(--error-text, #ff6b6b); }
`;

export function addStyle() {
  if (document.getElementById("rag-style")) return;
  const style = document.createElement("style");
  style.id = "rag-style";
  style.textContent = CSS;
  document.head.append(style);
}
