import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

// The packages are installed beside this application, for other runtimes, too.
const root = dirname(dirname(fileURLToPath(import.meta.url)));

export default { turbopack: { root }, outputFileTracingRoot: root };
