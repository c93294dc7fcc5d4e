// Reads objects as JSON from stdin and prints what is wrong with each custom resource among them, one line each.
//
// Two checks, since the schemas of custom resources are open: values by the schemas' validators, and keys by the TypeScript
// compiler, which refuses a key that the type does not know. Runs in the folder that holds node_modules.
import { readFileSync, writeFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGES = {
  "cert-manager.io": "cert-manager",
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
};
const require = createRequire(pathToFileURL(join(process.cwd(), "package.json")));
const ts = require("typescript");

const objects = JSON.parse(readFileSync(0, "utf8"));
const problems = [...(await wrongValues(objects)), ...unknownKeys(objects)];
for (const problem of problems) console.log(problem);

function moduleOf({ apiVersion, kind }) {
  const [group, version] = apiVersion.split("/");
  return `node_modules/@kubernetes-models/${PACKAGES[group]}/${group}/${version}/${kind}.js`;
}

async function wrongValues(objects) {
  const found = [];
  for (const object of objects) {
    const models = await import(pathToFileURL(join(process.cwd(), moduleOf(object))));
    try {
      new models[object.kind](object).validate();
    } catch (error) {
      found.push(`${object.kind}/${object.metadata.name}: ${error.message}`);
    }
  }
  return found;
}

function unknownKeys(objects) {
  const lines = objects.map(
    (object) => `{ const it: import("./${moduleOf(object)}").I${object.kind} = ${JSON.stringify(object)}; void it; }`,
  );
  const file = join(process.cwd(), "objects.ts");
  writeFileSync(file, lines.join("\n"));
  try {
    const options = { noEmit: true, strict: true, skipLibCheck: true, module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2022 };
    const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram([file], options));
    return diagnostics.map((each) => {
      const line = each.file?.getLineAndCharacterOfPosition(each.start).line ?? 0;
      const object = objects[line];
      return `${object.kind}/${object.metadata.name}: ${ts.flattenDiagnosticMessageText(each.messageText, " ")}`;
    });
  } finally {
    rmSync(file);
  }
}
