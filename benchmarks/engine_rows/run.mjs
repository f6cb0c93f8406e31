// Runs transformers.js on an exported ONNX folder: node run.mjs ROW FOLDER TEXTS.json OUT.json, where ROW ends in a dtype;
// with "wasm" in ROW the runtime of browsers instead of Node's, with "apart" the graph whose weights lie beside it.
import fs from "node:fs";
import path from "node:path";

const [row, folder, texts, out] = process.argv.slice(2);
const modules = path.join(process.cwd(), "node_modules");
const home = path.join(modules, "@huggingface", "transformers");
const { env, AutoModel, AutoTokenizer } = await import(path.join(home, "dist", "transformers.node.mjs"));
env.allowRemoteModels = false;
env.localModelPath = folder;
const dtype = row.split(" ").pop();
const quantised = { fp32: "", fp16: "-fp16", q8: "-int8", q4: "-q4" }[dtype];
const name = `onnx${quantised}${row.includes("apart") ? "-apart" : ""}`;
const rows = JSON.parse(fs.readFileSync(texts, "utf8"));
const tokenizer = await AutoTokenizer.from_pretrained(name);
const ids = rows.map((text) => tokenizer.encode(text));
const versionOf = (place) => JSON.parse(fs.readFileSync(path.join(place, "package.json"), "utf8")).version;
const versions = [`transformers.js ${versionOf(home)}`, `Node ${process.version}`];

// What a browser does: the runtime in WebAssembly, all bytes fetched, the weights named as transformers.js names them.
async function wasm() {
  const ort = await import(path.join(modules, "onnxruntime-web", "dist", "ort.wasm.min.mjs"));
  ort.env.wasm.numThreads = 1;
  const suffix = { fp32: "", fp16: "_fp16", q8: "_quantized", q4: "_q4" }[dtype];
  const file = path.join(folder, name, "onnx", `model${suffix}.onnx`);
  const externalData = row.includes("apart") ? [{ path: path.basename(`${file}_data`), data: fs.readFileSync(`${file}_data`) }] : [];
  const session = await ort.InferenceSession.create(fs.readFileSync(file), { externalData });
  versions.push(`onnxruntime-web ${versionOf(path.join(modules, "onnxruntime-web"))}`);
  return async (text) => {
    const { input_ids, attention_mask } = tokenizer(text);
    const plain = (tensor) => new ort.Tensor("int64", tensor.data, tensor.dims);
    return session.run({ input_ids: plain(input_ids), attention_mask: plain(attention_mask) });
  };
}

async function native() {
  const model = await AutoModel.from_pretrained(name, { dtype, device: "cpu" });
  return (text) => model(tokenizer(text));
}

const run = await (row.includes("wasm") ? wasm() : native());
const vectors = [];
for (const text of rows.slice(0, 14)) {
  const { sentence_embedding } = await run(text);
  vectors.push(Array.from(sentence_embedding.data));
}
fs.writeFileSync(out, JSON.stringify({ ids, vectors, versions }));
