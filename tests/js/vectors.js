/** What JavaScript and Python have to agree on. */

import { readFileSync } from "node:fs";

export const vectors = JSON.parse(readFileSync(new URL("../canvas_vectors.json", import.meta.url), "utf8"));
