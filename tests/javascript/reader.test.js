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
  const { bitmap, full, upload, notes } = await reader.read(blob);
  assert.deepEqual([bitmap.width, full, notes], [20, { width: 40, height: 20 }, ["Of its 2 frames"]]);
  assert.equal(upload.path, "/uploads/photograph.jpg");
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
  const large = Object.assign(new Blob([]), {});
  Object.defineProperty(large, "size", { value: 451_000_000 });
  await assert.rejects(reader.read(large), /It has 451 MB; files of up to 450 MB can be used\./);
  assert.deepEqual(uploads, []);
});

test("a fault of the program is none of the file's", async () => {
  answer = told("", {}, 500);
  await assert.rejects(reader.read(new Blob(["x"])), (error) => !(error instanceof Refused));
});

test("a picture that was kept is asked for where it was, and sent anew where that is gone", async () => {
  const blob = new Blob(["x"], { type: "image/png" });
  answer = told("png", { "x-picture": JSON.stringify({ width: 40, height: 20, notes: [] }) });
  const { upload } = await reader.reopen({ blob, path: "/uploads/kept.png" });
  assert.deepEqual([upload.path, uploads.length], ["/uploads/kept.png", 0]);
  globalThis.fetch = async (address) => {
    asked.push(new URL(address));
    const path = asked.at(-1).searchParams.get("path");
    return path === "/uploads/kept.png" ? told("It is no longer at hand.", { "x-refused": "yes" }) : answer.clone();
  };
  answer = told("png", { "x-picture": JSON.stringify({ width: 40, height: 20, notes: [] }) });
  assert.equal((await reader.reopen({ blob, path: "/uploads/kept.png" })).upload.path, "/uploads/photograph.jpg");
  assert.equal(uploads.length, 1);
});
