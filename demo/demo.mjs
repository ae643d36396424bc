// The whole of Portero in one minute: a real MCP client (the official
// TypeScript SDK), portero-stdio as Claude Code would launch it, a real MCP
// server (@modelcontextprotocol/server-filesystem), portero-relay, a human.
//
//   node demo.mjs                    waits for a click on the approval page
//   DEMO_APPROVE=yes node demo.mjs   presses the page's own button by HTTP
import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, writeFileSync, rmSync, existsSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

const here = dirname(fileURLToPath(import.meta.url));
const bin = join(here, '..', 'bin');
const REAL = { name: 'Margarethe Sommer', email: 'margarethe@sommer-keramik.example' };
const FAKE = { name: 'John Doe', email: 'john.doe@example.com' };

const root = realpathSync(mkdtempSync(join(tmpdir(), 'portero-demo-')));
const shop = join(root, 'workshop');
let relay, client;
let step = 0;

const say = (text) => console.log(`\n${++step}. ${text}`);
const show = (text) => console.log(text.replace(/^/gm, '   | '));
function must(ok, text) {
  if (!ok) throw new Error(text);
  console.log(`   ok: ${text}`);
}

function writeConfig(token, port) {
  const server = join(here, 'node_modules', '@modelcontextprotocol', 'server-filesystem', 'dist', 'index.js');
  const text = `
[proxy]
name = "demo machine"
state_dir = ${JSON.stringify(join(root, 'state'))}

[link]
url = "ws://127.0.0.1:${port}/link"
token = ${JSON.stringify(token)}

[[mcp]]
name = "filesystem"
command = ${JSON.stringify(process.execPath)}
args = [${JSON.stringify(server)}, ${JSON.stringify(shop)}]

[policy]
default = "require-approval"
[policy.tools]
"filesystem/read_text_file" = "allow"
"filesystem/list_*" = "allow"
"filesystem/move_file" = "deny"

[[replacement]]
fake = ${JSON.stringify(FAKE.name)}
real = "\${REAL_NAME}"

[[replacement]]
fake = ${JSON.stringify(FAKE.email)}
real = "\${REAL_EMAIL}"

[relay]
listen = "127.0.0.1:${port}"
data_dir = ${JSON.stringify(join(root, 'relay'))}
`;
  writeFileSync(join(root, 'portero.toml'), text, { mode: 0o600 });
}

function freePort() {
  return new Promise((resolve, reject) => {
    import('node:net').then(({ createServer }) => {
      const s = createServer();
      s.once('error', reject);
      s.listen(0, '127.0.0.1', () => {
        const { port } = s.address();
        s.close(() => resolve(port));
      });
    });
  });
}

function run(args) {
  return new Promise((resolve, reject) => {
    const p = spawn(join(bin, 'portero-relay'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '', err = '';
    p.stdout.on('data', (d) => (out += d));
    p.stderr.on('data', (d) => (err += d));
    p.once('error', reject);
    p.once('exit', (code) => (code === 0 ? resolve(out.trim()) : reject(new Error(`portero-relay ${args.join(' ')}: ${err}`))));
  });
}

function startRelay(config) {
  return new Promise((resolve, reject) => {
    relay = spawn(join(bin, 'portero-relay'), ['--config', config], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '', err = '';
    const limit = setTimeout(() => reject(new Error(`the relay did not come up:\n${err}`)), 20_000);
    relay.stderr.on('data', (d) => (err += d));
    relay.stdout.on('data', (d) => {
      out += d;
      const link = out.match(/https?:\/\/\S+\/sign-in\S+/);
      if (link) {
        clearTimeout(limit);
        resolve(link[0]);
      }
    });
    relay.once('exit', (code) => reject(new Error(`the relay ended with ${code}:\n${err}`)));
  });
}

// press does by HTTP what a person does on the page: open the link, press
// "Sign in", press "Approve".
async function press(link, taskId) {
  const origin = new URL(link).origin;
  const post = (path, form, cookie) =>
    fetch(origin + path, {
      method: 'POST',
      redirect: 'manual',
      headers: { Origin: origin, 'Content-Type': 'application/x-www-form-urlencoded', ...(cookie && { Cookie: cookie }) },
      body: new URLSearchParams(form),
    });
  const signIn = await post('/sign-in', { t: new URL(link).searchParams.get('t') });
  const cookie = signIn.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ');
  if (!cookie) throw new Error(`sign-in was answered ${signIn.status}`);
  const page = await (await fetch(origin + '/', { headers: { Cookie: cookie } })).text();
  const form = page.match(new RegExp(`action="/tasks/${taskId}/approve"[\\s\\S]*?name="csrf" value="([^"]+)"`));
  if (!form) throw new Error('the page shows no Approve button for this task');
  const answer = await post(`/tasks/${taskId}/approve`, { csrf: form[1] }, cookie);
  if (answer.status !== 303) throw new Error(`the button was answered ${answer.status}`);
}

async function main() {
  for (const program of ['portero-stdio', 'portero-relay']) {
    if (!existsSync(join(bin, program))) throw new Error(`bin/${program} is missing: run make build`);
  }
  mkdirSync(shop);
  writeFileSync(join(shop, 'customer.txt'), `Invoice for ${REAL.name} <${REAL.email}>\nTotal: 120.00\n`);
  const config = join(root, 'portero.toml');
  const port = await freePort();

  say('A relay starts on a free loopback port, with its own store; this machine gets a token.');
  writeConfig('none-yet', port);
  const token = await run(['token', 'create', '--name', 'demo', '--role', 'machine', '--config', config]);
  writeConfig(token, port);
  const link = await startRelay(config);
  must(true, `relay at ${new URL(link).origin}`);

  say('An MCP client (the official TypeScript SDK) launches portero-stdio, as Claude Code would.');
  client = new Client({ name: 'portero-demo', version: '1.0.0' });
  await client.connect(new StdioClientTransport({
    command: join(bin, 'portero-stdio'),
    args: ['--config', config, '--log-level', 'error'],
    env: { PATH: process.env.PATH, HOME: root, REAL_NAME: REAL.name, REAL_EMAIL: REAL.email },
    stderr: 'inherit',
  }));
  show(client.getInstructions() ?? '');
  must(client.getInstructions()?.includes(FAKE.name), 'the model is told the fake identity, and only that');

  say('It lists the tools: Portero\'s own, then those of @modelcontextprotocol/server-filesystem.');
  const { tools } = await client.listTools();
  show(tools.map((t) => t.name).join('\n'));
  must(tools.some((t) => t.name === 'portero/check_task') && tools.some((t) => t.name === 'filesystem/write_file'), `${tools.length} tools`);

  say(`It reads a file. On disk it says "${REAL.name}"; policy allows reading.`);
  const read = await client.callTool({ name: 'filesystem/read_text_file', arguments: { path: join(shop, 'customer.txt') } });
  show(read.content[0].text);
  const seen = JSON.stringify(read);
  must(seen.includes(FAKE.name) && seen.includes(FAKE.email), 'the client sees the fake name and the fake address');
  must(!seen.includes(REAL.name) && !seen.includes(REAL.email), 'the real ones have not left this machine');

  say('It tries to move a file, which policy denies.');
  const denied = await client.callTool({ name: 'filesystem/move_file', arguments: { source: join(shop, 'customer.txt'), destination: join(shop, 'x') } }).catch((e) => e);
  show(String(denied.message));
  must(denied instanceof Error && denied.message.includes('denied by policy') && existsSync(join(shop, 'customer.txt')), 'refused, with the rule that says so');

  say(`It writes a letter to "${FAKE.name}". That needs approval, so the call answers at once with a task.`);
  const letter = join(shop, 'letter.txt');
  const call = { name: 'filesystem/write_file', arguments: { path: letter, content: `Dear ${FAKE.name},\nyour invoice is paid. Write to ${FAKE.email}.\n` } };
  const asked = (await client.callTool(call)).structuredContent;
  show(JSON.stringify(asked, null, 2));
  must(asked.status === 'pending-approval' && asked.taskId && !existsSync(letter), 'nothing has been written');

  say('A human decides. Open this link, sign in and press Approve:');
  console.log(`\n   ${link}\n`);
  const check = (seconds) => client.callTool({ name: 'portero/check_task', arguments: { task_id: asked.taskId, wait_seconds: seconds } });
  if (process.env.DEMO_APPROVE === 'yes') {
    await press(link, asked.taskId);
    console.log('   (DEMO_APPROVE=yes: the page\'s own button was pressed by HTTP)');
  } else {
    console.log('   (waiting for up to 15 minutes)');
  }

  say('The client goes on meanwhile, and collects the result with portero/check_task.');
  let result;
  for (const end = Date.now() + 15 * 60_000; Date.now() < end; ) {
    result = await check(20);
    const status = result.structuredContent?.status;
    if (!['pending-approval', 'approved', 'executing'].includes(status)) break;
  }
  show(JSON.stringify(result.structuredContent ?? result.content, null, 2));
  must(!result.isError && result.content[0].text.includes('letter.txt'), 'the tool\'s own result');

  say('The file on disk holds the real name: the model wrote a fake one and never knew.');
  const written = readFileSync(letter, 'utf8');
  show(written);
  must(written.includes(REAL.name) && written.includes(REAL.email) && !written.includes(FAKE.name), 'written once, with the real values');
}

// end leaves no process behind.
async function end() {
  await client?.close().catch(() => {});
  if (relay && relay.exitCode === null) {
    await new Promise((resolve) => {
      relay.removeAllListeners('exit');
      relay.once('exit', resolve);
      relay.kill('SIGTERM');
    });
  }
  rmSync(root, { recursive: true, force: true });
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => end().finally(() => process.exit(130)));
}
try {
  await main();
  await end();
  console.log('\nAll of it is as it should be.');
} catch (err) {
  await end();
  console.error(`\nNOT as it should be: ${err.message}`);
  process.exitCode = 1;
}
