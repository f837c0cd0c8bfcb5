// kafkajs in groups: the checks of ../README.md, "Groups".
// It must never check anything that README.md does not list. kafkajs 2.2.4 has neither static members nor cooperative
// rebalances; it looks up the topics of a pattern once, when it subscribes.
'use strict';

const { spawn } = require('node:child_process');
const { setTimeout: pause } = require('node:timers/promises');
const { isDeepStrictEqual, inspect } = require('node:util');
const { Kafka, logLevel } = require('kafkajs');
const { version } = require('kafkajs/package.json');

const PATIENCE_MS = 40_000;
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function expectEqual(got, wanted, what) {
  if (!isDeepStrictEqual(got, wanted)) throw new Error(`${what}: got ${inspect(got)}, wanted ${inspect(wanted)}`);
}

async function until(what, holds) {
  for (const deadline = Date.now() + PATIENCE_MS; !holds(); await pause(50)) {
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
  }
}

class Member {
  constructor(kafka, groupId) {
    const haste = { sessionTimeout: 6000, heartbeatInterval: 300, maxWaitTimeInMs: 100, metadataMaxAge: 1000 };
    this.consumer = kafka.consumer({ groupId, ...haste });
    this.partitions = [];
    this.records = [];
    this.calls = [];
    const { GROUP_JOIN, REBALANCING } = this.consumer.events;
    this.consumer.on(GROUP_JOIN, ({ payload }) => {
      this.partitions = Object.values(payload.memberAssignment).flat();
      this.calls.push(`joined ${this.partitions.length}`);
    });
    this.consumer.on(REBALANCING, () => this.calls.push('rebalancing'));
  }

  async start(topic) {
    await this.consumer.connect();
    await this.consumer.subscribe({ topic, fromBeginning: true });
    await this.consumer.run({
      eachMessage: async ({ partition, message }) => {
        this.records.push({ partition, offset: Number(message.offset) });
      },
    });
    return this;
  }

  holds(count) {
    return () => this.partitions.length === count;
  }
}

async function create(kafka, topic, numPartitions) {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1 }], waitForLeaders: true });
  await admin.disconnect();
}

async function produce(kafka, topic, count) {
  const producer = kafka.producer();
  await producer.connect();
  for (const partition of [0, 1]) {
    await producer.send({ topic, messages: Array.from({ length: count }, (_, at) => ({ value: `${at}`, partition })) });
  }
  await producer.disconnect();
}

const join = (kafka, topic) => new Member(kafka, topic).start(topic);

async function eager(kafka, topic) {
  await create(kafka, topic, 4);
  const first = await join(kafka, topic);
  await until('all', first.holds(4));
  const second = await join(kafka, topic);
  await until('halves', () => first.holds(2)() && second.holds(2)());
  expectEqual([...first.partitions, ...second.partitions].sort(), [0, 1, 2, 3], 'the partitions of both');
  expectEqual(first.calls, ['joined 4', 'rebalancing', 'joined 2'], 'its calls');
  await second.consumer.disconnect();
  await until('all again', first.holds(4));
  await first.consumer.disconnect();
}

async function crash(kafka, topic, bootstrap) {
  await create(kafka, topic, 4);
  const first = await join(kafka, topic);
  await until('all', first.holds(4));
  const child = spawn(process.execPath, [__filename, 'member', bootstrap, topic], { stdio: 'inherit' });
  await until('one left', first.holds(2));
  child.kill('SIGKILL');
  await until('all again', first.holds(4));
  await first.consumer.disconnect();
}

async function pattern(kafka, topic) {
  await create(kafka, `${topic}-a`, 1);
  await create(kafka, `${topic}-b`, 2);
  const member = await new Member(kafka, topic).start(new RegExp(`^${topic}-.*`));
  await until('topics of the pattern', member.holds(3));
  await member.consumer.disconnect();
}

async function pauseAndSeek(kafka, topic) {
  await create(kafka, topic, 2);
  await produce(kafka, topic, 10);
  const member = await join(kafka, topic);
  await until('records', () => member.records.length === 20);
  member.consumer.pause([{ topic, partitions: [0] }]);
  await produce(kafka, topic, 5);
  await until('records of the other', () => member.records.length === 25);
  expectEqual(member.records.filter((one) => one.partition === 0).length, 10, 'records of the paused one');
  member.consumer.resume([{ topic, partitions: [0] }]);
  await until('the rest', () => member.records.length === 30);
  member.records = [];
  member.consumer.seek({ topic, partition: 0, offset: '5' });
  await until('records again', () => member.records.length === 10);
  expectEqual(member.records[0], { partition: 0, offset: 5 }, 'the first of them');
  await member.consumer.disconnect();
}

const CHECKS = { eager, crash, pattern, 'pause and seek': pauseAndSeek };

async function main() {
  const [phase, bootstrap, name] = process.argv.slice(2);
  const kafka = new Kafka({ clientId: name, brokers: [bootstrap], logLevel: logLevel.NOTHING });
  if (phase === 'member') {
    await join(kafka, name);
    return;
  }
  let current;
  try {
    for (const [check, run] of Object.entries(CHECKS)) {
      current = check;
      await run(kafka, `${name}-${check.replaceAll(' ', '-')}`, bootstrap);
      say({ check, ok: true });
    }
    say({ client: 'kafkajs', version, phase });
    process.exit(0);
  } catch (error) {
    say({ check: current, ok: false, detail: String(error) });
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  }
}

main();
