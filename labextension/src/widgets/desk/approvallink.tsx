import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import type { IApprovalPage } from '../../contracts';
import { clock } from '../../models/wording';

/**
 * The way to the approval page: a link, so that the browser, not a script, opens it.
 */
export class ApprovalLink extends ReactWidget {
  constructor(
    private readonly _page: IApprovalPage,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-FlipApprovalLink');
  }

  protected override render(): JSX.Element {
    const trans = this._trans;
    const { url, expires } = this._page;
    return (
      <>
        <p>
          {trans.__(
            "You approve on the enclave's own page, with your passphrase. It is open until %1.",
            clock(expires)
          )}
        </p>
        <p>
          <a href={url} target="_blank" rel="noopener noreferrer">
            {trans.__('Open the approval page at %1', new URL(url).host)}
          </a>
        </p>
      </>
    );
  }
}
