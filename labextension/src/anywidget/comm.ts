import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { IHeld, IKernelCohort } from '../models/cohortkernel';
import { FlipRefusal } from '../models/refusal';

/**
 * What anywidget gives to a widget's module, as far as it is used here.
 */
export interface IWidgetModel {
  get(name: string): unknown;
  send(content: object): void;
  on(event: string, callback: (content: IReply) => void): void;
  off(event: string, callback: (content: IReply) => void): void;
}

interface IReply {
  call: number;
  answer?: unknown;
  problem?: { message: string; reason: string; remedy: string };
}

interface IWaiting {
  resolve: (answer: never) => void;
  reject: (error: Error) => void;
}

const HELD = 'change:held';
const REPLY = 'msg:custom';

/**
 * The Python object behind a widget: what it holds is a trait, what it is asked are numbered messages.
 */
export class CommCohort implements IKernelCohort {
  constructor(private readonly _model: IWidgetModel) {
    _model.on(HELD, this._change);
    _model.on(REPLY, this._take);
  }

  get held(): IHeld {
    return this._model.get('held') as IHeld;
  }

  get heldChanged(): ISignal<this, void> {
    return this._heldChanged;
  }

  get studies(): ReadonlyArray<string> {
    return this._model.get('studies') as string[];
  }

  call<T>(act: string, body: { [name: string]: unknown }): Promise<T> {
    const call = this._last++;
    return new Promise<T>((resolve, reject) => {
      this._waiting.set(call, { resolve, reject });
      this._model.send({ call, act, body });
    });
  }

  dispose(): void {
    this._model.off(HELD, this._change);
    this._model.off(REPLY, this._take);
    Signal.clearData(this);
  }

  private readonly _change = (): void => this._heldChanged.emit();

  private readonly _take = ({ call, answer, problem }: IReply): void => {
    const waiting = this._waiting.get(call);
    this._waiting.delete(call);
    if (problem) {
      const { message, reason, remedy } = problem;
      waiting?.reject(new FlipRefusal(message, reason, remedy, 0));
    } else {
      waiting?.resolve(answer as never);
    }
  };

  private _last = 0;
  private readonly _waiting = new Map<number, IWaiting>();
  private readonly _heldChanged = new Signal<this, void>(this);
}
