import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Reader, Refused } from "../../assets/canvas/reader.js";

const real = { fetch: globalThis.fetch, createImageBitmap: globalThis.createImageBitmap };
let asked;
let answer;
let uploads;
const reader = new Reader(async (file) => {
  uploads.push(file);
  return { path: "/uploads/photograph.jpg" };
});
beforeEach(() => {
  [asked, uploads] = [[], []];
  globalThis.fetch = async (address) => {
    asked.push(new URL(address));
    return answer;
  };
  globalThis.createImageBitmap = async () => ({ width: 20, height: 10 });
});
afterEach(() => Object.assign(globalThis, real));
const told = (body, headers, status = 200) => new Response(body, { headers, status });

test("a picture is uploaded, and what the program reads in it is shown", async () => {
  answer = told("png", { "x-picture": JSON.stringify({ width: 40, height: 20, notes: ["Of its 2 frames"] }) });
  const blob = new File(["x"], "photograph.jpg", { type: "image/jpeg" });
  const { bitmap, upload, notes, shrunk } = await reader.read(blob);
  assert.deepEqual([bitmap.width, upload.path, notes, shrunk], [20, "/uploads/photograph.jpg", ["Of its 2 frames"], true]);
  assert.equal(uploads[0].name, "photograph.jpg");
  assert.equal(asked[0].searchParams.get("path"), "/uploads/photograph.jpg");
  assert.equal(asked[0].searchParams.get("kind"), "picture");
});

test("what the program refuses is said in its words", async () => {
  answer = told("The picture is a PDF document.", { "x-refused": "yes" });
  await assert.rejects(reader.read(new Blob(["%PDF"])), (error) => {
    assert.ok(error instanceof Refused);
    return error.message === "The picture is a PDF document.";
  });
});

test("a file that is too large is not uploaded", async () => {
  const large = new Blob([new Uint8Array(46_000_000)]);
  await assert.rejects(reader.read(large), /It has 46 MB; files of up to 45 MB can be used\./);
  assert.deepEqual(uploads, []);
});

test("a fault of the program is none of the file's", async () => {
  answer = told("", {}, 500);
  await assert.rejects(reader.read(new Blob(["x"])), (error) => !(error instanceof Refused));
});
