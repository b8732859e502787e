import type { JSX } from 'react';

/**
 * What went wrong, above what it is about; nothing where nothing did.
 */
export function Problem(props: { text: string }): JSX.Element | null {
  return props.text ? (
    <p className="jp-FlipBanner jp-mod-error" role="alert">
      {props.text}
    </p>
  ) : null;
}
