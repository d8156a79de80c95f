import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { startScriptedServer } from './test-server.ts';

describe('connections', () => {
  it('stay open between requests for 75 s by default, and as long as they are told to', async () => {
    for (const [options, seconds] of [
      [{}, '75'],
      [{ idleConnectionMs: 20_000 }, '20'],
    ] as const) {
      await using server = await startScriptedServer(options);
      const response = await fetch(`${server.url}/health`);
      await response.text();
      assert.equal(response.headers.get('keep-alive'), `timeout=${seconds}`);
    }
  });

  it('are closed by the server after their time, and not before the next request of a busy one', async () => {
    await using server = await startScriptedServer({ idleConnectionMs: 1500 });
    const socket = connect(server.port, server.host);
    const closed = once(socket, 'close');
    for (let request = 0; request < 3; request += 1) {
      socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
      await once(socket, 'data');
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(socket.destroyed, false);
    }
    await closed;
  });

  it('are answered that speak HTTP/1.0 and name no host, as health checks of gateways do', async () => {
    await using server = await startScriptedServer();
    await server.ready;
    const socket = connect(server.port, server.host);
    let answer = '';
    socket.on('data', (data) => (answer += data.toString()));
    socket.write('GET /health HTTP/1.0\r\n\r\n');
    await once(socket, 'close');
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\{"status":"ok"\}$/);
  });

  it('that never said anything do not hold up the end', async () => {
    const server = await startScriptedServer();
    await server.ready;
    const socket = connect(server.port, server.host);
    await once(socket, 'connect');
    const closed = once(socket, 'close');
    await server.close();
    await closed;
  });
});
