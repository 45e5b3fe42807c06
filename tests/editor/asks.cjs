// Opens a feature in the language server of VS Code's Cucumber extension, as the editor does, and prints what the editor
// would show, as JSON: for each step the function to go to, the completions at the end, and the steps that are marked.
//
//   node asks.cjs LIBRARIES WORKSPACE_FILE < {"uri": ..., "text": ...}
//
// The editor finds files of a pattern in all folders of the workspace; so this passes each pattern once for each folder.
const { spawn } = require("child_process");
const fs = require("fs");
const path = require("path");
const [libraries, workspaceFile] = process.argv.slice(2);

function serve() {
  const inside = path.join(libraries, "node_modules", "@cucumber");
  const { startStandaloneServer } = require(`${inside}/language-server/dist/cjs/src/wasm/startStandaloneServer.js`);
  const { NodeFiles } = require(`${inside}/language-server/dist/cjs/src/node/NodeFiles.js`);
  startStandaloneServer(path.join(inside, "language-service", "dist"), (root) => new NodeFiles(root));
}

class Client {
  constructor(settings) {
    this.settings = settings;
    this.waiting = new Map();
    this.received = Buffer.alloc(0);
    this.server = spawn(process.execPath, [__filename, libraries, workspaceFile, "--stdio"], {
      env: { ...process.env, SERVE: "1" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.server.stdout.on("data", (data) => this.take(data));
    this.indexed = new Promise((resolve) => (this.onIndexed = resolve));
    this.marked = new Promise((resolve) => (this.onMarked = resolve));
  }

  send(message) {
    const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
    this.server.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
    this.server.stdin.write(body);
  }

  ask(method, params) {
    const id = this.waiting.size + 1;
    this.send({ id, method, params });
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  take(data) {
    this.received = Buffer.concat([this.received, data]);
    for (;;) {
      const end = this.received.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/Content-Length: (\d+)/.exec(this.received.subarray(0, end))[1]);
      if (this.received.length < end + 4 + length) return;
      this.heard(JSON.parse(this.received.subarray(end + 4, end + 4 + length)));
      this.received = this.received.subarray(end + 4 + length);
    }
  }

  heard(message) {
    if (message.method === "workspace/configuration") {
      this.send({ id: message.id, result: message.params.items.map(() => this.settings) });
    } else if (message.method === "textDocument/publishDiagnostics") {
      if (this.isIndexed) this.onMarked(message.params.diagnostics);
    } else if (message.method === "window/logMessage") {
      const found = /Found (\d+) step definitions/.exec(message.params.message);
      if (found) this.known = Number(found[1]);
      if (/Built \d+ suggestions/.test(message.params.message)) {
        this.isIndexed = true;
        this.onIndexed(this.known);
      }
    } else if (message.method && message.id !== undefined) {
      this.send({ id: message.id, result: null });
    } else if (this.waiting.has(message.id)) {
      const { resolve, reject } = this.waiting.get(message.id);
      message.error ? reject(new Error(message.error.message)) : resolve(message.result);
    }
  }
}

async function main() {
  const { uri, text } = JSON.parse(fs.readFileSync(0, "utf8"));
  const workspace = JSON.parse(fs.readFileSync(workspaceFile, "utf8"));
  const folders = workspace.folders.map((one) => path.resolve(path.dirname(workspaceFile), one.path));
  const everywhere = (patterns) => folders.flatMap((folder) => patterns.map((one) => path.join(folder, one)));
  const client = new Client({
    features: everywhere(workspace.settings["cucumber.features"]),
    glue: everywhere(workspace.settings["cucumber.glue"]),
    parameterTypes: workspace.settings["cucumber.parameterTypes"],
  });
  await client.ask("initialize", {
    processId: process.pid,
    rootUri: `file://${folders[0]}`,
    workspaceFolders: null,
    capabilities: {
      workspace: { configuration: true, didChangeWatchedFiles: { dynamicRegistration: true } },
      textDocument: {
        definition: { linkSupport: true, dynamicRegistration: true },
        completion: { completionItem: { snippetSupport: true } },
      },
    },
  });
  client.send({ method: "initialized", params: {} });
  const known = await client.indexed;
  client.send({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "cucumber", version: 1, text } } });
  const marked = await client.marked;
  const lines = text.split("\n");
  const definitions = {};
  for (const [line, words] of lines.entries()) {
    if (!/^\s*(Given|When|Then|And|But) /.test(words)) continue;
    const position = { line, character: words.length - 2 };
    const found = await client.ask("textDocument/definition", { textDocument: { uri }, position });
    definitions[words.trim()] = (found ?? []).map((one) => `${new URL(one.targetUri).pathname}:${one.targetRange.start.line + 1}`);
  }
  const last = lines.length - 1;
  const position = { line: last, character: lines[last].length };
  const completed = await client.ask("textDocument/completion", { textDocument: { uri }, position });
  const completions = (Array.isArray(completed) ? completed : completed.items).map((one) => one.label);
  const undefined_ = marked.map((one) => one.message);
  process.stdout.write(JSON.stringify({ known, definitions, completions, undefined: undefined_ }));
  client.server.kill();
}

if (process.env.SERVE) serve();
else main().then(() => process.exit(0));
