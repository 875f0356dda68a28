// What @huggingface/hub does against the server: run by node, in a folder where the package is installed.
import assert from "node:assert";
import {
  commit, countCommits, createRepo, datasetInfo, deleteRepo, downloadFile, fileExists, listFiles, listModels, modelInfo,
  uploadFiles, whoAmI,
} from "@huggingface/hub";

const hubUrl = process.env.HF_ENDPOINT;
const ada = { hubUrl, accessToken: process.env.TOKEN_ADA };
const ben = { hubUrl, accessToken: process.env.TOKEN_BEN };
const repo = { type: "model", name: "ada/from-js" };
const weights = new Uint8Array(3_000_000).map((_, at) => at % 251);

assert.equal((await whoAmI(ada)).name, "ada");
await createRepo({ ...ada, repo });
await uploadFiles({
  ...ada, repo, useXet: false,
  files: [
    { path: "README.md", content: new Blob(["---\nlicense: mit\n---\n# A model\n"]) },
    { path: "sub/model.safetensors", content: new Blob([weights]) },
  ],
});
await commit({
  ...ada, repo, title: "one more", useXet: false,
  operations: [{ operation: "addOrUpdate", path: "a.txt", content: new Blob(["hello"]) }],
});
assert.equal(await countCommits({ ...ada, repo, revision: "main" }), 3);
const info = await modelInfo({ ...ada, name: repo.name, additionalFields: ["sha", "cardData", "tags"] });
assert.equal(info.cardData.license, "mit");
assert.ok(info.tags.includes("safetensors"));
const again = await modelInfo({ ...ada, name: repo.name, revision: "HEAD", additionalFields: ["sha"] });
assert.equal(again.sha, info.sha);
const blob = await downloadFile({ ...ben, repo, path: "sub/model.safetensors", xet: false });
assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), weights);
assert.equal(await (await downloadFile({ ...ben, repo, path: "a.txt" })).text(), "hello");
assert.equal(await downloadFile({ ...ben, repo, path: "never.txt" }), null);
assert.ok(await fileExists({ ...ada, repo, path: "a.txt" }));
const paths = [];
for await (const file of listFiles({ ...ada, repo, recursive: true })) paths.push(file.path);
assert.ok(paths.includes("sub/model.safetensors"));
const models = [];
for await (const model of listModels({ ...ben, search: { owner: "ada" } })) models.push(model.name);
assert.ok(models.includes(repo.name));
await assert.rejects(datasetInfo({ ...ben, name: "ada/never" }), { statusCode: 404 });
await assert.rejects(deleteRepo({ ...ben, repo }), { statusCode: 403 });
await deleteRepo({ ...ada, repo });

// Where nobody switched Xet off, it works all the same.
const other = { type: "model", name: "ada/from-js-with-xet" };
await createRepo({ ...ada, repo: other });
await uploadFiles({ ...ada, repo: other, files: [{ path: "x.bin", content: new Blob([weights]) }] });
const back = await downloadFile({ ...ada, repo: other, path: "x.bin" });
assert.deepEqual(new Uint8Array(await back.arrayBuffer()), weights);
