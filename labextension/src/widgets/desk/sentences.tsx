import type { JSX } from 'react';

import type { ISentence } from '../../contracts';

/**
 * Sentences with what belongs to each beneath it, as lists within lists. Text of strangers: React escapes it.
 */
export function Sentences(props: {
  sentences: ReadonlyArray<ISentence>;
}): JSX.Element {
  return (
    <ul className="jp-FlipSentences">
      {props.sentences.map((sentence, index) => (
        <li key={index}>
          {sentence.text}
          {sentence.parts.length > 0 && (
            <Sentences sentences={sentence.parts} />
          )}
        </li>
      ))}
    </ul>
  );
}
