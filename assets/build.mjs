// Builds the editor's bundle and says what it is made of: `make assets`. The same sources give the same bytes.
import {build} from "esbuild";
import {createHash} from "node:crypto";
import {readFileSync, writeFileSync} from "node:fs";

const out = process.argv[2];
const {metafile} = await build({
  entryPoints: ["editor.js"], outfile: `${out}/editor.js`, bundle: true, minify: true, format: "esm",
  target: "es2022", charset: "utf8", legalComments: "none", metafile: true, logLevel: "warning",
});
const names = new Set();
for (const path of Object.keys(metafile.inputs)) {
  const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
  if (found) names.add(found[1]);
}
const packages = [...names].sort().map((name) => {
  const {version, license} = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return {name, version, license, text: readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()};
});
const sha256 = createHash("sha256").update(readFileSync(`${out}/editor.js`)).digest("hex");
writeFileSync(`${out}/editor.json`, `${JSON.stringify(
  {file: "editor.js", sha256, made_of: packages.map(({name, version, license}) => ({name, version, license}))}, null, 2,
)}\n`);
writeFileSync(`${out}/editor.LICENSES.txt`, packages.map(({name, version, text}) => `${name} ${version}\n\n${text}\n`).join("\n---\n\n"));
