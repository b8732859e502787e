import type { TranslationBundle } from '@jupyterlab/translation';

import type { IProgress, IRunEvent, ITrustPart } from '../contracts';
import {
  duration,
  failureText,
  figures,
  memory,
  runStateWord,
  trustStateWord
} from './wording';

/**
 * A run's event as a sentence that names its Trust.
 */
export function eventText(
  trans: TranslationBundle,
  event: IRunEvent,
  title: (trust: string) => string
): string {
  const why = event.failure
    ? failureText(trans, event.failure)
    : (event.reason ?? '');
  const who = event.trust ? title(event.trust) : '';
  if (event.kind === 'round' && event.round) {
    const { round } = event;
    const numbers = Object.entries(round.metrics)
      .map(([name, value]) => `${name} ${figures(value)}`)
      .join(', ');
    const where = round.training
      ? trans.__('Round %1 of %2', round.round, round.of)
      : trans.__('Final weights');
    const votes =
      round.votes === null || round.voters === null
        ? ''
        : trans.__('; %1 of %2 agree', round.votes, round.voters);
    const missing = Object.entries(round.left_out)
      .map(([key, reason]) => trans.__('; without %1: %2', title(key), reason))
      .join('');
    const taken = duration(trans, round.seconds);
    return `${where}: ${numbers} (${taken})${votes}${missing}`;
  }
  if (event.kind === 'progress' && event.progress) {
    return trans.__('%1: %2', who, progressText(trans, event.progress));
  }
  if (event.kind === 'trust' && event.trust_state) {
    const word = trustStateWord(trans, event.trust_state);
    return why
      ? trans.__('%1: %2: %3', who, word, why)
      : trans.__('%1: %2', who, word);
  }
  const word = event.state ? runStateWord(trans, event.state) : '';
  return why
    ? trans.__('The run is %1: %2', word, why)
    : trans.__('The run is %1', word);
}

/**
 * Where a Trust's part is: "cell 4 of 9, round 7"; after the last of `rounds` it has the final weights.
 */
export function progressText(
  trans: TranslationBundle,
  progress: IProgress,
  rounds = Infinity
): string {
  const parts: string[] = [];
  if (progress.cell !== null) {
    parts.push(
      progress.cells === null
        ? trans.__('cell %1', progress.cell)
        : trans.__('cell %1 of %2', progress.cell, progress.cells)
    );
  }
  if (progress.round) {
    parts.push(
      progress.round > rounds
        ? trans.__('final weights')
        : trans.__('round %1', progress.round)
    );
  }
  if (progress.eighths !== null) {
    parts.push(trans.__('%1/8 of its epochs', progress.eighths));
  }
  return parts.join(', ') || trans.__('at work');
}

/**
 * The most memory that a kernel has used so far: "1.5 GB of 4 GB, GPU 10 GB of 80 GB"; null where its Trust keeps it.
 */
export function memoryText(
  trans: TranslationBundle,
  progress: IProgress | null
): string | null {
  const part = (used: number | null, most: number | null): string[] =>
    used === null || most === null
      ? []
      : [trans.__('%1 of %2', memory(trans, used), memory(trans, most))];
  if (progress === null) {
    return null;
  }
  const parts = [
    ...part(progress.memory_bytes, progress.memory_of_bytes),
    ...part(progress.gpu_bytes, progress.gpu_of_bytes).map(text =>
      trans.__('GPU %1', text)
    )
  ];
  return parts.join(', ') || null;
}

/**
 * The code cell, from 1, that a Trust's part is in or ended in; null before its first.
 */
export function cellOf(part: ITrustPart): number | null {
  return part.failure?.cell ?? part.progress?.cell ?? null;
}
