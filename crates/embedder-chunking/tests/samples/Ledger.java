package com.example.ledger;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;

/**
 * Books amounts to accounts.
 */
@SuppressWarnings({"unused", "rawtypes"})
public final class Ledger<A extends Account> implements Iterable<Entry> {
    public static final int MAX_ENTRIES = 10_000;
    private final List<Entry> entries = new ArrayList<>();

    public Ledger() {
        this(List.of());
    }

    Ledger(List<Entry> entries) { this.entries.addAll(entries); }

    /** Books an amount; negative amounts are debits. */
    public void book(A account, long cents) throws LedgerException {
        if (entries.size() >= MAX_ENTRIES) {
            throw new LedgerException("full: " + entries.size());
        }
        entries.add(new Entry(account.name(), cents, () -> System.out.println("booked")));
    }

    @Override
    public java.util.Iterator<Entry> iterator() { return entries.iterator(); }

    static <T> List<T> filter(List<? extends T> all, Predicate<? super T> keep) {
        List<T> kept = new ArrayList<>();
        for (T one : all) if (keep.test(one)) kept.add(one);
        return kept;
    }

    enum Kind {
        DEBIT { @Override int sign() { return -1; } },
        CREDIT { @Override int sign() { return 1; } };
        abstract int sign();
    }
}

record Entry(String account, long cents, Runnable onBooked) {
    Entry {
        if (account.isBlank()) throw new IllegalArgumentException("""
            an account
            has a name""");
    }
}

sealed interface Account permits Account.Asset {
    int LIMIT = 3;
    String name();
    default boolean overdrawn() { return false; }
    record Asset(String name) implements Account {}
}

@interface Audited { String value() default "all"; }
