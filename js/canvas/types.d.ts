/** What the editor's comments speak of. For those who read the code, and for their editors; no page loads it. */

/** In fractions of the image. */
interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

interface Region extends Box {
  id: string;
  prompt: string;
  enabled: boolean;
  locked?: boolean;
  color: string;
  name?: string;
  strength?: number;
  loras?: { name: string; strength: number }[];
  points?: [number, number][];
}

interface Drawing {
  version: 1;
  regions: Region[];
  /** The fingerprint of the linked layout that it was taken from. */
  linked?: string;
}

/** Of the picture, in pixels. */
interface Size {
  width: number;
  height: number;
}

/** How the drawing is shown, kept in the node. */
interface View {
  /** Height of the list in pixels. */
  strip?: number;
  /** Of the boxes. */
  opacity?: number;
  /** Lines at the thirds. */
  guides?: boolean;
}

/** What the editor asks of the page it lives in. */
interface Host {
  /** One action is done: a step of undo. */
  changed(): void;
  /** The keys of undo or redo were pressed here. */
  undoing(): void;
  undo(): void;
  redo(): void;
  toggleBackground(): void;
  /** Show the editor as large as the window, or in its node again. */
  toggleFull(): void;
  /** Open the node's page of help. */
  help(): void;
  /** Put a node behind this one that makes a mask of a region. */
  makeMask(number: number): void;
  /** The files that are installed. */
  loras(): Promise<string[]>;
  /** Texts by their names; with an argument, keep these. */
  layouts(kept?: Record<string, string>): Promise<Record<string, string>>;
  /** Set the picture's size. */
  resize(size: Size): void;
  selected(): void;
  viewed(view: View): void;
}

/** What a press on the paper does. */
interface Gesture {
  /** Show it after the pointer moved by fractions of the image. */
  drag(dx: number, dy: number, free: boolean): void;
  /** Do it. */
  drop(): void;
  /** The press did not move. */
  click?(): void;
}

/** A line of a menu; null is a rule. */
type Item = { text: string; run?: () => void; hint?: string; off?: boolean } | null;
