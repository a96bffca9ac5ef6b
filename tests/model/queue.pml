/* One shard, one home, and two other nodes that sleep, are rung, take, run: SPIN model of
   sched/dqueue.c's put, take, mark, ring and pass-on, of the owner word, of the home's
   sweep, and of a node dying at any step. Properties: a process never runs twice; none is
   lost without a death; no wake-up is lost (an entry never stays behind while a live node
   has room and sleeps).
   Node 0 is the home: it puts NPROC processes and has no CPU to spare. Its memory holds
   slots, hungry word and owner words, so if it died all would be gone: it does not die
   here (handover.pml has the giver's death). Nodes 1 and 2 take; either may die once.
   Mutations that must be found:
     -DBUG_LOOK_FIRST  the sleeper looks before it marks
     -DBUG_NO_CAS      the taker reads the owner word and writes it, instead of a CAS
     -DBUG_NO_RELOOK   after a death the others do not look again
     -DBUG_NO_PASS_ON  a node that is rung without room keeps the ring */
#define NPROC 2
#define QUEUED 1
#define ADOPTING 2   /* + node */
#define RUNNING 4    /* + node */

byte owner[NPROC];           /* 0 FREE, QUEUED, ADOPTING+n, RUNNING+n */
bit slot[NPROC];             /* an entry for process p is in the shard */
bit hungry[3];
bit rung[3];                 /* a ring is in node n's inbox */
bit dead[3];
bit busy[3];                 /* node n runs something that does not end: no room */
bit relook[3];               /* node n has heard of a death */
byte runs[NPROC];            /* how often its first instruction ran in all */

/* Rings one hungry node, not oneself: CAS clears the mark, then the ring goes out. A ring
   to a dead node fails, and the next hungry one is tried. */
inline wake(me) {
    do
    :: atomic { hungry[1] && me != 1 -> hungry[1] = 0; to = 1 };
       if :: dead[1] :: else -> rung[1] = 1; break fi
    :: atomic { hungry[2] && me != 2 -> hungry[2] = 0; to = 2 };
       if :: dead[2] :: else -> rung[2] = 1; break fi
    :: atomic { (me == 1 || !hungry[1]) && (me == 2 || !hungry[2]) -> break }
    od
}

active proctype home() {
    byte p, to;
    for (p : 0 .. NPROC - 1) {
        owner[p] = QUEUED;
        slot[p] = 1;          /* CAS of an empty slot; the READ of hungry comes behind it */
        wake(0)
    }
    /* The sweep, and what the home does after a death, for ever. */
end_sweep:
    do
    :: atomic { relook[0] -> relook[0] = 0;
           p = 0;
           do
           :: p < NPROC ->
               /* the dead one was fenced before: its ADOPTING is taken back; its RUNNING died */
               if
               :: (owner[p] == ADOPTING + 1 && dead[1]) || (owner[p] == ADOPTING + 2 && dead[2]) ->
                   owner[p] = QUEUED; slot[p] = 1
               :: else
               fi;
               p++
           :: else -> break
           od }
#ifndef BUG_NO_RELOOK
       wake(0)
#endif
    :: atomic { owner[0] == QUEUED && !slot[0] -> slot[0] = 1 }; wake(0)
    :: atomic { owner[1] == QUEUED && !slot[1] -> slot[1] = 1 }; wake(0)
    od
}

/* A taker; room for one process at a time. It may die between any two steps. */
proctype taker(byte me) {
    byte p, seen, to;
    bit any;
look:
    if :: dead[me] -> goto over :: else fi;
    relook[me] = 0;
    p = 0;
    do
    :: p < NPROC ->
        if
        :: slot[p] ->                       /* the window READ saw it */
#ifdef BUG_NO_CAS
            seen = owner[p];
            if :: dead[me] -> goto over :: else fi;
            owner[p] = (seen == QUEUED -> ADOPTING + me : owner[p]);
#else
            atomic { if :: !dead[me] -> seen = owner[p];
                           if :: seen == QUEUED -> owner[p] = ADOPTING + me :: else fi
                        :: else -> goto over fi };
#endif
            if :: dead[me] -> goto over :: else -> slot[p] = 0 fi;   /* the chain's last CAS */
            if
            :: seen == QUEUED ->
                atomic {
                    if
                    :: dead[me] -> goto over
                    :: !dead[me] && owner[p] == ADOPTING + me -> owner[p] = RUNNING + me; runs[p]++
                    :: else
#ifdef BUG_NO_CAS
                       -> runs[p]++
#endif
                    fi
                };
                assert(runs[p] <= 1);
                if
                :: busy[me] = 1;            /* it never ends: rings are for somebody else */
end_busy:           do
                    :: atomic { rung[me] || dead[me] || relook[me] ->
                           rung[me] = 0; relook[me] = 0 };
                       if :: dead[me] -> goto over :: else fi;
#ifndef BUG_NO_PASS_ON
                       wake(me)
#endif
                    od
                :: skip
                fi;
                goto look                   /* it has ended: there is room again */
            :: else
            fi
        :: else
        fi;
        p++
    :: else -> break
    od;
#ifdef BUG_LOOK_FIRST
    any = slot[0] || slot[1];
    if :: dead[me] -> goto over :: else -> hungry[me] = 1 fi;
#else
    if :: dead[me] -> goto over :: else -> hungry[me] = 1 fi;
    any = slot[0] || slot[1];
#endif
    if :: any -> goto look :: else fi;
end_sleep:
    atomic { (rung[me] || relook[me] || dead[me]) -> rung[me] = 0 };
    goto look;
over:
    skip
}

/* At most one death, at any step; the survivors hear of it later. */
active proctype reaper() {
    byte d;
    if :: d = 1 :: d = 2 :: goto none fi;
    atomic {
        dead[d] = 1
    };
    /* fenced, then everybody looks again */
    atomic {
        relook[0] = 1;
#ifndef BUG_NO_RELOOK
        relook[1] = 1; relook[2] = 1
#endif
    };
none:
    skip
}

init { atomic { run taker(1); run taker(2) } }

/* When nothing can happen any more, every process has run once, or nobody has room. */
active proctype observer() {
    byte p;
    timeout ->
    for (p : 0 .. NPROC - 1) {
        assert(runs[p] == 1 || ((busy[1] || dead[1]) && (busy[2] || dead[2])))
    }
}
