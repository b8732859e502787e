/**
 * What the server extension said instead of an answer: what was wrong, a stable name for it, and what to do.
 */
export class FlipRefusal extends Error {
  constructor(
    message: string,
    readonly reason: string,
    readonly remedy: string,
    readonly status: number
  ) {
    super(message);
  }

  /**
   * What was wrong and what to do, for a person.
   */
  get text(): string {
    return `${this.message} ${this.remedy}`.trim();
  }
}

/**
 * The message for a person of anything that was thrown.
 */
export function messageOf(error: unknown): string {
  if (error instanceof FlipRefusal) {
    return error.text;
  }
  return error instanceof Error ? error.message : String(error);
}
