import type { ButtonHTMLAttributes, JSX } from 'react';

/**
 * A button in the running text, that looks like a link.
 */
export function LinkButton(
  props: Omit<ButtonHTMLAttributes<HTMLButtonElement>, 'className' | 'type'>
): JSX.Element {
  return <button type="button" className="jp-FlipLink" {...props} />;
}
