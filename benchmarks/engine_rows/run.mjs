// Runs transformers.js on an exported ONNX folder: node run.mjs ROW FOLDER TEXTS.json OUT.json, where ROW ends in a dtype.
import fs from "node:fs";
import path from "node:path";

const [row, folder, texts, out] = process.argv.slice(2);
const home = path.join(process.cwd(), "node_modules", "@huggingface", "transformers");
const { env, AutoModel, AutoTokenizer } = await import(path.join(home, "dist", "transformers.node.mjs"));
env.allowRemoteModels = false;
env.localModelPath = folder;
const dtype = row.split(" ").pop();
const name = { fp32: "onnx", fp16: "onnx-fp16", q8: "onnx-int8", q4: "onnx-q4" }[dtype];
const rows = JSON.parse(fs.readFileSync(texts, "utf8"));
const tokenizer = await AutoTokenizer.from_pretrained(name);
const ids = rows.map((text) => tokenizer.encode(text));
const model = await AutoModel.from_pretrained(name, { dtype, device: "cpu" });
const vectors = [];
for (const text of rows.slice(0, 14)) {
  const { sentence_embedding } = await model(tokenizer(text));
  vectors.push(Array.from(sentence_embedding.data));
}
const { version } = JSON.parse(fs.readFileSync(path.join(home, "package.json"), "utf8"));
fs.writeFileSync(out, JSON.stringify({ ids, vectors, versions: [`transformers.js ${version}`, `Node ${process.version}`] }));
