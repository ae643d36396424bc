// An MCP client written by others runs portero-stdio and does what it is told:
//
//   node client.mjs v1|v2 PROGRAM CONFIG TOOLS CALLS
//
// TOOLS is a JSON array of names that must be listed before it begins, CALLS
// one of {name, arguments}. What the client saw is printed as
// one JSON object. MODULES is the node_modules directory with the clients.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [version, command, config, awaited, calls] = process.argv.slice(2);
const load = (...path) => import(pathToFileURL(join(process.env.MODULES, '@modelcontextprotocol', ...path)));
const [{ Client }, { StdioClientTransport }] =
  version === 'v1'
    ? await Promise.all([load('sdk', 'dist', 'esm', 'client', 'index.js'), load('sdk', 'dist', 'esm', 'client', 'stdio.js')])
    : await Promise.all([load('client', 'dist', 'index.mjs'), load('client', 'dist', 'stdio.mjs')]);

const client = new Client(
  { name: 'sdk-' + version, version: '1.0.0' },
  version === 'v1' ? {} : { versionNegotiation: { mode: 'auto' } },
);
await client.connect(new StdioClientTransport({
  command,
  args: ['--config', config],
  env: { PATH: process.env.PATH, HOME: process.env.HOME },
  stderr: 'inherit',
}));
const seen = { instructions: client.getInstructions(), revision: client.getNegotiatedProtocolVersion?.(), results: [] };
// Listing first: the client checks results against the output schemas it has
// seen. On a busy machine servers may come up after the list.
do {
  seen.tools = (await client.listTools()).tools;
} while (!JSON.parse(awaited).every((name) => seen.tools.some((tool) => tool.name === name)));
for (const call of JSON.parse(calls)) {
  const progress = [];
  const options = { onprogress: (p) => progress.push(p) };
  const result = await (version === 'v1' ? client.callTool(call, undefined, options) : client.callTool(call, options)).catch((e) => ({
    failed: String(e.message), code: e.code,
  }));
  seen.results.push({ ...result, progress });
}
await client.close();
console.log(JSON.stringify(seen));
