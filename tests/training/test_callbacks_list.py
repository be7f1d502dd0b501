"""The base class of callbacks and the list that calls them."""

import pytest

from nacre.callbacks import Callback, CallbackList, CSVLogger, History, LambdaCallback, ProgressBar
from nacre.core.errors import ArgumentError
from nacre.training.callbacks import BATCH_HOOKS, EPOCH_HOOKS, OLD_BATCH_HOOKS, RUN_HOOKS


class Model:
    stop_training = False


def recorder(calls, name, hooks):
    """A callback whose hooks note that they were called."""

    def note(hook):
        def method(self, *args, **kwargs):
            calls.append((name, hook, args, kwargs))

        return method

    return type("Recorder", (Callback,), {hook: note(hook) for hook in hooks})()


def test_every_hook_reaches_every_callback_in_order_as_keras_calls_it():
    hooks = (*RUN_HOOKS, *EPOCH_HOOKS, *BATCH_HOOKS)
    calls, logs = [], {"loss": 0.5}
    both = CallbackList([recorder(calls, "a", hooks), recorder(calls, "b", hooks)])
    expected = []
    for hook in hooks:
        if hook in RUN_HOOKS:
            getattr(both, hook)(logs)
            args, kwargs = (logs,), {}
        elif hook in EPOCH_HOOKS:
            getattr(both, hook)(3, logs)
            args, kwargs = (3, logs), {}
        else:
            getattr(both, hook)(3, logs)
            args, kwargs = (3,), {"logs": logs}
        expected += [(name, hook, args, kwargs) for name in "ab"]
    assert calls == expected
    assert all((args[-1] if args[1:] else kwargs.get("logs", args[0])) is logs
               for _, _, args, kwargs in calls)  # fmt: skip


def test_hooks_have_the_parameters_that_keras_documents():
    import inspect

    import keras

    for hook in (*RUN_HOOKS, *EPOCH_HOOKS, *BATCH_HOOKS, *OLD_BATCH_HOOKS.values()):
        ours = inspect.signature(getattr(Callback, hook)).parameters
        theirs = inspect.signature(getattr(keras.callbacks.Callback, hook)).parameters
        assert [(p.name, p.default) for p in ours.values()] == [
            (p.name, p.default) for p in theirs.values()
        ]


def test_missing_logs_arrive_as_an_empty_dictionary():
    calls = []
    CallbackList(recorder(calls, "a", ["on_train_begin"])).on_train_begin()
    assert calls == [("a", "on_train_begin", ({},), {})]


@pytest.mark.parametrize("new", OLD_BATCH_HOOKS)
def test_the_old_names_of_the_batch_hooks_work(new):
    old, calls = OLD_BATCH_HOOKS[new], []
    callbacks = CallbackList([recorder(calls, "old", [old])])
    assert callbacks.needs_batches
    getattr(callbacks, new)(7, {"loss": 1.0})
    assert calls == [("old", old, (7,), {"logs": {"loss": 1.0}})]


def test_the_new_name_of_a_batch_hook_goes_before_the_old_one():
    calls = []
    callback = recorder(calls, "both", ["on_train_batch_end", "on_batch_end"])
    CallbackList([callback]).on_train_batch_end(0, {})
    assert [hook for _, hook, _, _ in calls] == ["on_train_batch_end"]


@pytest.mark.parametrize(
    ("hook", "need"),
    [
        ("on_train_batch_begin", "needs_batches"),
        ("on_train_batch_end", "needs_batches"),
        ("on_epoch_begin", "needs_epochs"),
        ("on_epoch_end", "needs_epochs"),
        ("on_test_batch_begin", "needs_test_batches"),
        ("on_test_batch_end", "needs_test_batches"),
        ("on_predict_batch_begin", "needs_predict_batches"),
        ("on_predict_batch_end", "needs_predict_batches"),
        ("on_chunk_end", "needs_chunks"),
        ("on_train_begin", None),
        ("on_train_end", None),
        ("on_test_begin", None),
        ("on_predict_end", None),
    ],
)
def test_only_the_hooks_that_are_overridden_are_needed(hook, need):
    callbacks = CallbackList([Callback(), recorder([], "a", [hook])])
    needs = [name for name in vars(callbacks) if name.startswith("needs_")]
    assert len(needs) == 5
    assert {name for name in needs if getattr(callbacks, name)} == ({need} if need else set())


def test_hooks_set_on_an_instance_count():
    callbacks = CallbackList([LambdaCallback(on_epoch_end=lambda epoch, logs: None)])
    assert callbacks.needs_epochs
    assert not callbacks.needs_batches


def test_what_only_reports_needs_no_stops(tmp_path):
    callbacks = CallbackList([History(), ProgressBar(), CSVLogger(tmp_path / "log.csv")])
    assert not callbacks.needs_epochs
    assert not callbacks.needs_batches
    assert callbacks.needs_chunks


def test_a_subclass_of_what_only_reports_gets_its_own_hooks_in_time():
    class Own(History):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)

    class OwnReport(Own):
        at_chunk_ends = True

    with_an_instance_hook = History()
    with_an_instance_hook.on_epoch_begin = lambda epoch, logs: None
    assert CallbackList([Own()]).needs_epochs
    assert not CallbackList([OwnReport()]).needs_epochs
    assert CallbackList([with_an_instance_hook]).needs_epochs


def test_lists_may_be_nested_and_a_single_callback_needs_none():
    a, b, c = Callback(), Callback(), Callback()
    assert CallbackList([a, (b, [c])]).callbacks == [a, b, c]
    assert CallbackList(a).callbacks == [a]
    assert CallbackList(CallbackList([a, b])).callbacks == [a, b]
    assert CallbackList(None).callbacks == []


def test_model_and_params_are_handed_on():
    model, params, callback = Model(), {"epochs": 2}, Callback()
    callbacks = CallbackList([callback], model, params)
    assert callback.model is callbacks.model is model
    assert callback.params is callbacks.params is params


def test_a_class_instead_of_a_callback_is_explained():
    with pytest.raises(ArgumentError, match=r"Fix: make one of the class: History\(\)"):
        CallbackList([History])
    with pytest.raises(ArgumentError, match="derive your class from"):
        CallbackList([print])


def test_callbacks_are_released_however_the_run_ends():
    released = []

    class Holder(Callback):
        def __init__(self, name):
            self.name = name

        def release(self):
            released.append(self.name)
            if self.name == "a":
                raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), CallbackList([Holder("a"), Holder("b")]):
        pass
    assert released == ["a", "b"]
    with pytest.raises(ZeroDivisionError), CallbackList([Holder("c")]):
        _ = 1 / 0
    assert released == ["a", "b", "c"]


def test_lambda_callback_calls_its_functions():
    seen = []
    callbacks = CallbackList(
        LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"])),
            on_train_batch_end=lambda batch, logs: seen.append(batch),
            on_test_end=lambda logs: seen.append("tested"),
        )
    )
    callbacks.on_train_batch_end(4, {})
    callbacks.on_epoch_end(0, {"loss": 0.5})
    callbacks.on_test_end()
    assert seen == [4, (0, 0.5), "tested"]


def test_lambda_callback_knows_the_hooks():
    with pytest.raises(ArgumentError, match="did you mean 'on_test_end'"):
        LambdaCallback(on_tset_end=lambda logs: None)


def test_history_records_every_epoch():
    model, history = Model(), History()
    callbacks = CallbackList([history], model)
    callbacks.on_train_begin()
    callbacks.on_epoch_end(2, {"loss": 0.5, "accuracy": 0.7})
    callbacks.on_epoch_end(3, {"loss": 0.25, "accuracy": 0.8, "val_loss": 0.4})
    assert history.history == {"loss": [0.5, 0.25], "accuracy": [0.7, 0.8], "val_loss": [0.4]}
    assert history.epoch == [2, 3]
    assert model.history is history
    callbacks.on_train_begin()
    assert history.epoch == []
