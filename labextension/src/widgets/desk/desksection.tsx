import { ReactWidget } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import { ago } from '../../models/wording';
import type { IRow } from '../parts/rowlist';
import { RowList } from '../parts/rowlist';
import { useSignal } from '../parts/signal';
import type { IDeskProps } from './desk';
import { RequestState } from './desk';

/**
 * The desk in the side panel: what waits for the data controller.
 */
export class DeskSection extends ReactWidget {
  constructor(private readonly _props: IDeskProps) {
    super();
    this.addClass('jp-FlipSection');
  }

  protected override render(): JSX.Element {
    return <Waiting {...this._props} />;
  }
}

function Waiting(props: IDeskProps): JSX.Element {
  const { desk, commands, trans } = props;
  useSignal(desk.changed);
  const waiting = desk.requests.filter(request => request.state === 'waiting');
  return (
    <>
      {waiting.length === 0 ? (
        <p className="jp-FlipEmpty">
          {trans.__(
            'Nothing waits for you. New requests appear by themselves.'
          )}
        </p>
      ) : (
        <RowList
          label={trans.__('Requests that wait')}
          rows={waiting.map((request): IRow => ({
            id: request.bundle,
            label: trans.__('%1, by %2', request.title, request.researcher),
            content: (
              <>
                <RequestState request={request} trans={trans} />
                <span className="jp-FlipRow-name">{request.title}</span>
                <span className="jp-FlipRow-detail">
                  {ago(trans, request.received)}
                </span>
              </>
            )
          }))}
          onOpen={bundle =>
            void commands.execute(CommandIDs.openRequest, { bundle })
          }
        />
      )}
      <button
        type="button"
        className="jp-FlipLink jp-FlipSection-more"
        onClick={() => void commands.execute(CommandIDs.showDesk)}
      >
        {trans.__('Open Desk')}
      </button>
    </>
  );
}
