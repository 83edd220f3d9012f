import { EventEmitter } from 'node:events';

declare module 'node:events' {
  interface EventEmitter { readonly closed: boolean }
}

export namespace Shelf {
  export const SIZE = 12;
  export enum Side { Left = 'left', Right = 'right' }
}

export function open(path: string): Store;
export function open(path: string, size: number): Store;
export function open(path: string, size = Shelf.SIZE): Store {
  return new FileStore(path, size);
}

/** What all stores have in common. */
export abstract class Store<K extends string = string, V = unknown> extends EventEmitter {
  protected abstract read(key: K): Promise<V | undefined>;

  private pending = new Map<K, Promise<V>>();

  readonly get = async (key: K): Promise<V> => {
    const value = this.pending.get(key) ?? (await this.read(key));
    if (value === undefined) throw new Error(`no ${key}`);
    return value as V;
  };

  @logged({ level: 'debug' })
  close(): void { this.emit('close'); }
}

class FileStore extends Store {
  constructor(private readonly path: string, readonly size: number) { super(); }
  protected async read(key: string) { return (await import(`${this.path}/${key}`)) satisfies object; }
}

function logged(options: { level: string }): MethodDecorator {
  return (_target, name) => void console.log(options.level, String(name));
}

type Keys<T> = { [K in keyof T as K extends `on${infer Rest}` ? Rest : never]: T[K] };
declare const VERSION: string;
