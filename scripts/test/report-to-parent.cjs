/** A mocha reporter: mocha's own report for people, and the events for the process that started it. */
const Mocha = require('mocha');

const { EVENT_TEST_BEGIN, EVENT_TEST_PASS, EVENT_TEST_FAIL, EVENT_TEST_PENDING } = Mocha.Runner.constants;

module.exports = class ReportToParent extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const send = (type, test) => process.send?.({ type, title: test.fullTitle() });
    runner.on(EVENT_TEST_BEGIN, (test) => send('begin', test));
    runner.on(EVENT_TEST_PASS, (test) => send('passed', test));
    runner.on(EVENT_TEST_FAIL, (test) => send('failed', test));
    runner.on(EVENT_TEST_PENDING, (test) => send('skipped', test));
  }
};
