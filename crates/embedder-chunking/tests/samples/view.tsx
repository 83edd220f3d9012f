import React, { useState } from 'react';
import type { Item } from './types';

interface Props<T extends Item> {
  readonly items: T[];
  onSelect(item: T): void;
}

export type Filter = { text?: string; kind: 'all' | 'scarce' };

export const DEFAULT_FILTER: Filter = { kind: 'all' };

/** Shows what is on the shelves. */
export function List<T extends Item>({ items, onSelect }: Props<T>): JSX.Element {
  const [filter, setFilter] = useState<Filter>(DEFAULT_FILTER);
  const shown = items.filter((item) => filter.kind === 'all' || item.count < 5);
  return (
    <section className="list">
      <input value={filter.text ?? ''} onChange={(e) => setFilter({ ...filter, text: e.target.value })} />
      {shown.map((item) => (
        <Row key={item.name} {...item} onClick={() => onSelect(item)}>
          <b>{item.name}</b> &amp; {item.count}
        </Row>
      ))}
    </section>
  );
}

const Row: React.FC<{ onClick: () => void }> = ({ children, onClick }) => <div onClick={onClick}>{children}</div>;

export default List;
