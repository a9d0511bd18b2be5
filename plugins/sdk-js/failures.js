// What to throw where a whole batch cannot be handled. Any other error is a rejected batch too.

/** Transient: the batch comes again, after at least `afterMs` (0: the core's own backoff). */
export class Retry extends Error {
  constructor(reason, afterMs = 0) {
    super(reason);
    this.afterMs = afterMs;
  }
}

/** The same events will fail again: the core finds the bad one by halves and sets it aside. */
export class Reject extends Error {}

/** Stops the plugin until an operator resumes it. */
export class Halt extends Error {}

/** Longest reason that is handed over; the host shortens it further. */
const REASON_LENGTH = 2000;

/** What the contract has for an error. */
export function failure(error) {
  if (error instanceof Retry) {
    return { tag: 'retry', val: { afterMs: error.afterMs, reason: error.message } };
  }
  if (error instanceof Halt) return { tag: 'halt', val: error.message };
  return { tag: 'reject', val: error instanceof Reject ? error.message : told(error) };
}

/** An error that nobody meant, with the place it came from. */
export function told(error) {
  if (!(error instanceof Error)) return String(error);
  const frames = String(error.stack ?? '').split('\n').map((frame) => frame.trim());
  const place = frames.find((frame) => /plugin\.js:\d+/.test(frame));
  const where = place?.match(/plugin\.js:\d+/)?.[0];
  const text = `${error.name}: ${error.message}`.slice(0, REASON_LENGTH);
  return where ? `${text} (${where})` : text;
}
