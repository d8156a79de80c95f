// busy-program.mjs: a process that computes until it is ended. Says when it has begun.
process.send('begun');
setImmediate(() => {
  for (;;);
});
