"""What the README and the interface promise, and the tests that hold it.

Each key is the promise in its own words, each value the tests, separated by white space. The words
of the README stand in it exactly so; what promises nothing is listed below them.
"""

README = {
    "Tells whether the gradient you wrote is the gradient of your loss; and if not, where it is "
    "wrong, why, and on which line.": """
        test_reference_run.py::test_every_variant_comes_out_as_declared
        test_reference_run.py::test_every_wrong_gradient_is_explained_on_a_line_of_its_model
        test_random_programs.py::test_no_false_alarm_and_no_miss
        test_library_gradients.py::test_one_entry_off_by_a_thousandth_fails""",
    "It trains. Its gradient is wrong:": """
        test_readme.py::test_the_homework_trains_all_the_same
        test_readme.py::test_the_output_shown_is_the_output_given""",
    "One command, and no tolerance to choose:": """
        test_readme.py::test_the_output_shown_is_the_output_given""",
    "Every number has its own uncertainty: of the finite differences (truncation, and the measured "
    "noise of the loss) and of the gradient's own rounding.": """
        test_coverage_of_uncertainty.py::test_the_true_error_lies_within_the_uncertainty_in_999_of_1000_draws
        test_coverage_of_uncertainty.py::test_bars_that_are_too_short_would_be_noticed
        test_estimates.py::test_the_noise_of_a_loss_is_that_of_its_arithmetic
        test_compare.py::test_the_rounding_of_the_claim_counts_with_the_uncertainty""",
    "A right gradient passes in float32, on the kinks of a ReLU and at 1e-9; a wrong one fails in "
    "the same places;": """
        test_low_precision.py::test_a_right_gradient_passes_and_two_per_cent_more_fails
        test_kinks.py::test_at_a_kink_every_slope_between_the_two_sides_passes
        test_kinks.py::test_at_a_kink_a_slope_outside_both_sides_does_not_pass
        test_kinks.py::test_beside_a_unit_s_kink_the_right_mask_passes_and_the_flipped_one_fails
        test_scales.py::test_gradients_of_any_size""",
    "what could not be resolved is *inconclusive*, never silently a pass.": """
        test_compare.py::test_nothing_checked_is_not_a_pass
        test_compare.py::test_the_verdict_of_an_entry
        test_kinks.py::test_a_loss_defined_at_a_single_point_is_inconclusive
        test_interface.py::TestWhichIsWhich::test_what_stays_open""",
    "The column *resolution* says how small an error this check would have seen.": """
        test_verdict_numbers.py::test_the_resolution_is_what_is_allowed_over_the_scale
        test_library_gradients.py::test_one_entry_off_by_a_thousandth_fails""",
    "The unmodified NumPy code also ran once on PyTorch tensors: that is the column *autograd*, "
    "and how the line was found.": """
        test_tracing_collection.py::test_loss_traces_and_its_gradient_is_right
        test_reference_run.py::test_every_wrong_gradient_is_explained_on_a_line_of_its_model
        test_readme.py::test_the_output_shown_is_the_output_given""",
    "Two commands, with nothing but Python 3.11 or later:": """
        test_readme.py::test_make_does_what_the_commands_without_it_do""",
    "$ make run      # sets up .venv, checks every reference model, writes reports/index.html": """
        test_readme.py::test_make_does_what_the_commands_without_it_do
        test_cli.py::TestOutput::test_a_package_is_reported_by_default""",
    "$ make test     # sets up .venv, passes the tests": """
        test_readme.py::test_make_does_what_the_commands_without_it_do""",
    "or, without make:": """
        test_readme.py::test_make_does_what_the_commands_without_it_do""",
    '$ .venv/bin/python -m pip install -c constraints.txt -e ".[test]"': """
        test_packaging.py::TestVersions::test_every_requirement_is_pinned""",
    "PyTorch is an extra (`.[torch]`): without it, central differences and the complex step "
    "remain, and so does every verdict.": """
        test_readme.py::test_without_torch_every_verdict_remains
        test_packaging.py::TestInstalled::test_a_check_and_its_report
        test_promises.py::TestElsewhere::test_arrays_of_an_object_are_also_met_by_the_complex_step""",
    "Name the function; where inputs are missing, the message proposes a command that was tried "
    "and works:": """
        test_courses.py::test_the_first_command_or_the_one_it_proposes_answers
        test_guesses.py::TestTrial::test_the_likeliest_that_fits_is_taken""",
    "$ python -m gradcheck mymodule:loss": """
        test_target.py::TestResolve::test_a_module_in_the_current_directory""",
    "$ python -m gradcheck path/to/file.py:loss --arg 'W=randn(D,K)' --arg 'X=randn(N,D)'": """
        test_target.py::TestResolve::test_a_file_elsewhere_imports_its_neighbours
        test_input_specs.py::TestSizes::test_symbols_are_shared_and_unbound_ones_are_distinct_primes""",
    "$ python -m gradcheck mymodule:loss --inputs mymodule:make_inputs --report reports": """
        test_input_sources.py::TestLoad::test_a_factory_and_a_constant
        test_cli.py::TestOutput::test_files""",
    "A function may return `(loss, grads)`, `(grads, loss)`, `(loss, g1, g2, ...)`,": """
        test_promises.py::TestWhatATargetMayReturn::test_forms""",
    "or `loss` with its gradient function beside it (`loss` and `gradient`, `fun` and `jac`, `f` "
    "and `df`; `--grad` names another).": """
        test_guesses.py::TestPartners::test_by_name
        test_cli.py::TestFunctions::test_a_gradient_function_with_and_without_its_module""",
    "It may be a layer with `forward` and `backward`,": """
        test_promises.py::TestCommandLine::test_vjp
        test_guesses.py::TestPartners::test_methods_are_looked_for_in_their_object""",
    "a method whose parameters its object keeps,": """
        test_awkward_targets.py::test_a_method_s_own_parameters_are_checked_and_put_back""",
    "a script that reads them from its top,": """
        test_promises.py::TestCommandLine::test_a_script_s_plots_wait_for_nobody""",
    "a SciPy objective or residuals with their Jacobian,": """
        test_promises.py::TestWhatATargetMayReturn::test_scipy_s_forms_work_as_they_are
        test_promises.py::TestGradientFunctions::test_a_jacobian_and_an_elementwise_derivative""",
    "a PyTorch function, module or `autograd.Function`.": """
        test_torch_problem.py::test_reference_models_in_torch_pass_central_and_forward
        test_torch_problem.py::test_a_module_is_checked_in_its_parameters_and_inputs
        test_torch_problem.py::test_an_autograd_function_is_a_target""",
    "def test_gradient(gradcheck):": """
        test_pytest_plugin.py::test_the_fixture_asserts_and_the_failure_is_the_table""",
    'check = gradcheck.check(loss, {"W": W, "X": X, "y": y})': """
        test_packaging.py::TestInstalled::test_from_python_with_its_schema""",
    'check.verdict, check.parameters["W"].max_relative_error, check.diagnoses': """
        test_pipeline.py::test_a_wrong_parameter_fails_and_only_that
        test_reference_run.py::test_right_gradients_agree_with_autograd_to_1e_9""",
    "Exit status: 0 every check passed, or came out as its author declared; 1 a gradient is wrong; "
    "2 the command or the target cannot be used; 3 nothing is wrong, but something stayed "
    "inconclusive.": """
        test_cli.py::TestStatus::test_right
        test_cli.py::TestStatus::test_wrong
        test_cli.py::TestStatus::test_a_command_that_cannot_be_used
        test_cli.py::TestStatus::test_a_package_that_came_out_as_declared
        test_interface.py::TestWhichIsWhich::test_of_several
        test_interface.py::TestWhichIsWhich::test_what_stays_open""",
    "(docs/numpy.md)": "test_docs.py::test_the_examples_run",
    "(docs/reference.md)": "test_docs.py::test_the_reference_is_up_to_date",
    "(docs/causes.md)": """
        test_docs.py::test_every_key_that_the_program_gives_is_documented
        test_docs.py::test_every_key_that_is_documented_can_be_given""",
    "(docs/traceable.md)": "test_tracing_collection.py::test_table_in_the_docs_is_the_registry",
    "published gradients, right and wrong": """
        test_reference_models.py::test_every_specified_variant_is_there_in_order
        test_reference_models.py::test_the_gradient_is_as_right_or_as_wrong_as_declared""",
}

PLAIN = """
    Here is `homework.py`, a two-layer network with its backward pass.
    In a test:
    In Python:
    [Homework in NumPy]
    [a custom PyTorch Function](docs/torch.md)
    [a SciPy objective](docs/scipy.md)
    [tests and CI](docs/ci.md)
    [Large gradients and long checks](docs/large.md): group testing, workers, checkpoints, limits
    [How the verdict works](docs/verdict.md) and [how to read the report](docs/report.md)
    [Options and Python interface]
    [The causes]
    and [what can be traced]
    [Coming from another checker](docs/others.md)
    [What it catches, beside other checkers](docs/power.md)
    and [what it costs](docs/benchmarks.md)
    [On PyTorch's own operators](docs/operators.md)
    and [on derivatives that libraries ship](docs/libraries.md)
    The [reference models](reference_models/__init__.py):
"""
"""Sentences of the README that promise nothing but a page to read, one a line."""

INTERFACE = {
    # Words
    "relative error of an entry: |a - r| / max(|a|, |r|), and 0 where both are 0": """
        test_compare.py::test_the_relative_error_is_by_the_larger_of_the_two""",
    "the norm form ||a - r|| / (||a|| + ||r||)": """
        test_verdict_numbers.py::test_the_error_of_the_whole_is_over_both_norms
        test_compare.py::test_the_norm_form_is_safe_from_overflow""",
    "max and median run over the entries above the uncertainty; the others are counted as "
    "below_noise": """
        test_compare.py::test_a_true_zero_counts_below_the_noise_not_as_an_error_of_100_per_cent
        test_verdict_numbers.py::test_a_summary_counts_and_measures_what_was_compared""",
    "uncertainty: truncation and roundoff noise of the loss, plus the rounding of the analytic "
    "value in its own dtype": """
        test_coverage_of_uncertainty.py::test_the_true_error_lies_within_the_uncertainty_in_999_of_1000_draws
        test_compare.py::test_the_rounding_of_the_claim_counts_with_the_uncertainty
        test_compare.py::test_what_counts_as_wrong_depends_on_the_precision""",
    "scale: max(|a|, |r|), or the parameter's rms gradient where the entry is lost in noise": """
        test_verdict_numbers.py::test_small_entries_are_judged_by_a_thousandth_of_the_typical_one""",
    "resolution: the smallest relative error that could have been seen everywhere": """
        test_verdict_numbers.py::test_the_resolution_is_what_is_allowed_over_the_scale""",
    "pass, fail and inconclusive; 1e-3, 5e-2 in half precision; 1e-6 of the scale, 1e-3 in "
    "float32": """
        test_compare.py::test_the_verdict_of_an_entry
        test_verdict_numbers.py::test_the_thresholds_of_each_precision""",
    "of a parameter and a check: the worst of its entries": """
        test_compare.py::test_the_worst_entry_is_the_parameter_s_verdict""",
    "error if the target could not be checked": """
        test_pipeline.py::test_a_target_that_cannot_be_judged_is_an_error_by_its_cause""",
    "best oracle of a parameter: the one with the smallest resolution": """
        test_compare.py::test_the_sharper_oracle_decides
        test_pipeline.py::test_an_oracle_that_was_asked_for_is_compared""",
    # Command line
    "package.module:attr, path/to/file.py:attr (dotted attr allowed), a package of checks": """
        test_target.py::TestResolve::test_a_module_in_the_current_directory
        test_target.py::TestResolve::test_a_file
        test_target.py::TestResolve::test_dotted_attributes
        test_target.py::TestDeclared::test_a_module_lists_its_cases""",
    "the current directory is importable": """
        test_promises.py::TestCommandLine::test_the_current_directory_is_importable""",
    "gradcheck is also installed as a command of the same meaning": """
        test_promises.py::TestCommandLine::test_the_installed_command_is_the_module_s
        test_packaging.py::TestInstalled::test_a_check_and_its_report""",
    "the options by their names": "test_interface.py::test_every_promised_option_is_there",
    "--inputs: a factory or constant giving a dict, a tuple or one array; an npz, never "
    "unpickled": """
        test_input_sources.py::TestLoad::test_a_factory_and_a_constant
        test_input_sources.py::TestLoad::test_an_npz
        test_input_sources.py::TestLoad::test_an_npz_is_never_unpickled
        test_calls.py::test_inputs_become_arguments_with_names""",
    "--arg: a literal or a draw in NumPy Generator terms": """
        test_input_specs.py::test_literals_are_values
        test_input_specs.py::test_draws_have_the_shape_that_is_written
        test_input_specs.py::test_draws_are_what_numpys_generator_gives
        test_promises.py::TestCommandLine::test_choice_draws_among_values""",
    "symbolic sizes shared between specs; unbound ones get small distinct primes; --size": """
        test_input_specs.py::TestSizes::test_symbols_are_shared_and_unbound_ones_are_distinct_primes
        test_input_specs.py::TestSizes::test_a_bound_size_is_used_and_repeated_by_no_other""",
    "normal(N,D) with symbolic sizes is taken as a shape, too": """
        test_promises.py::TestCommandLine::test_normal_with_symbolic_sizes_is_taken_as_a_shape""",
    "--params; a bound method's self.params is found by itself": """
        test_cli.py::TestFunctions::test_params
        test_choose.py::test_a_bound_method_s_params_are_found""",
    "--wrt: comma-separated, tree paths allowed": """
        test_promises.py::TestCommandLine::test_wrt_takes_tree_paths""",
    "--grad: called with the target's arguments": """
        test_cli.py::TestFunctions::test_a_gradient_function_with_and_without_its_module
        test_promises.py::TestGradientFunctions::test_one_that_takes_what_the_loss_returns_beside""",
    "--vjp: (cotangent, cache), or (cotangent, *inputs) without a cache": """
        test_promises.py::TestCommandLine::test_vjp""",
    "--torch: a torch twin of the loss for the autograd oracle": """
        test_estimates.py::test_a_twin_by_name_is_imported
        test_pipeline.py::test_a_twin_gives_a_second_opinion""",
    "--oracle: which oracles": """
        test_settings_effects.py::TestOracles::test_each_runs_alone
        test_settings_effects.py::TestOracles::test_forward_runs_alone
        test_settings_effects.py::TestCommandLine::test_budget_and_oracle""",
    "default: central; autograd of a twin, a torch target or a traceable NumPy one; forward for "
    "torch; complex for undecided entries only": """
        test_reference_run.py::test_each_numpy_variant_is_compared_three_ways
        test_reference_run.py::test_torch_variants_are_held_against_forward_mode
        test_interface.py::test_the_complex_step_settles_what_stays_undecided""",
    "--no-autograd never imports torch": """
        test_cli.py::TestProcess::test_no_autograd_imports_neither_torch_nor_other_heavy_things""",
    "--audit (on by itself for autograd.Function), --no-audit": """
        test_audit.py::test_the_audit_runs_by_itself_for_an_autograd_function_only
        test_audit.py::test_each_broken_clause_is_found_under_its_own_key""",
    "--only": "test_cli.py::TestOnly::test_a_pattern",
    "--learning-rate: whether this step is too long for the curvature": """
        test_settings_effects.py::TestJudging::test_a_learning_rate_is_judged_against_the_curvature
        test_reference_run.py::test_the_step_that_diverges_is_named_although_the_gradient_passes""",
    "--jitter: move off a degenerate point": """
        test_jitter.py::TestJitter::test_a_point_where_nothing_shows_is_left
        test_settings_effects.py::TestCommandLine::test_jitter""",
    "--repeats, --confidence: statistics for stochastic losses": """
        test_random_losses.py::TestRandomLosses::test_more_calls_at_a_point_see_finer
        test_random_losses.py::TestRandomLosses::test_less_confidence_makes_shorter_error_bars""",
    "--entries: every entry, sampled, or located by group testing when there are too many": """
        test_settings_effects.py::TestEntries::test_a_number_is_the_number_checked
        test_settings_effects.py::TestEntries::test_all_and_auto_check_each_of_a_few
        test_settings_effects.py::TestEntries::test_auto_locates_among_many_and_all_does_not""",
    "--rtol: judge by a plain threshold": """
        test_settings_effects.py::TestJudging::test_rtol_judges_alone""",
    "--seed: inputs, directions, and the global generators of a target that draws; put back at "
    "the end": """
        test_settings_effects.py::TestJudging::test_the_seed_is_that_of_the_draws
        test_awkward_targets.py::test_global_generators_are_seeded_and_put_back""",
    "--search: the worst input among N, a failing one shrunk": """
        test_search.py::test_wrong_only_for_repeated_labels
        test_search.py::test_a_right_gradient_yields_its_worst_input
        test_settings_effects.py::TestCommandLine::test_search""",
    "--report: HTML, JSON and Markdown; reports by default for packages, off for a single "
    "target": """
        test_cli.py::TestOutput::test_files
        test_cli.py::TestOutput::test_a_package_is_reported_by_default
        test_cli.py::TestOutput::test_a_single_target_is_not""",
    "--json, --junit": """
        test_cli.py::TestOutput::test_files
        test_cli.py::TestOutput::test_json_on_stdout_is_nothing_but_json""",
    "--workers, --dask": """
        test_parallel.py::test_a_check_with_workers_is_the_same_check
        test_parallel.py::test_a_dask_cluster_loses_a_worker_and_the_sweep_is_complete_and_the_same""",
    "--budget, --time, --timeout; what was left out is reported as not checked": """
        test_settings_effects.py::TestLimits::test_what_the_budget_leaves_out_is_not_checked
        test_settings_effects.py::TestLimits::test_time_is_a_limit
        test_time_limits.py::TestTimeout::test_an_evaluation_that_hangs_is_stopped""",
    "--checkpoint: keep finished work, and go on from it": """
        test_checkpoint.py::test_a_check_goes_on_from_its_checkpoint_and_refuses_anothers""",
    "--order 2: --hess, or torch's double backward": """
        test_settings_effects.py::TestCommandLine::test_hess
        test_second_order.py::TestSecondOrder::test_torchs_double_backward_is_checked""",
    "--self-contained: one HTML file with everything inside": """
        test_interface.py::TestReport::test_one_page_on_request
        test_render_html.py::test_one_file_holds_everything""",
    "--render: write a report again from its JSON": """
        test_cli.py::TestOutput::test_render_writes_the_same_report_again""",
    "--compare: what got worse; status 1 if a verdict did": """
        test_cli.py::TestOutput::test_compare_says_what_became_worse""",
    "-q, -v, --no-progress, --version": """
        test_cli.py::TestOutput::test_quiet_says_nothing_of_what_is_right
        test_cli.py::TestOutput::test_what_the_target_prints_is_counted
        test_cli.py::TestTerminal::test_no_progress_and_no_colours_when_they_are_not_wanted
        test_cli.py::TestHelp::test_version""",
    "where inputs come from: --inputs/--arg; the decorator; gradcheck_inputs; annotations": """
        test_input_sources.py::test_an_argument_on_the_command_line_wins_over_the_decorator
        test_input_sources.py::test_the_decorator_wins_over_annotations_and_these_fill_what_is_missing
        test_input_sources.py::TestModule::test_a_mapping_by_argument
        test_input_sources.py::TestModule::test_the_command_line_wins
        test_input_sources.py::TestAnnotations::test_as_jaxtypings_own_objects""",
    "the error shows the signature, names what is missing and prints a stub to paste": """
        test_input_sources.py::TestMissing::test_the_message_shows_signature_names_and_a_stub
        test_input_sources.py::TestMissing::test_the_stub_when_pasted_gives_every_input""",
    "130, 143 interrupted (what was finished is still reported)": """
        test_cli.py::TestProcess::test_an_interruption_reports_what_was_finished
        test_interruptions.py::TestSignals::test_in_the_middle""",
    "of several: interrupted, then 1, 2, 3": """
        test_interface.py::TestWhichIsWhich::test_of_several""",
    "bad option, import error, missing input, raising target, non-finite loss, no gradient, an "
    "integer array as a parameter: error, 2": """
        test_interface.py::TestWhichIsWhich::test_what_cannot_be_used
        test_interface.py::TestWhichIsWhich::test_what_cannot_be_checked""",
    "missing or unknown key, wrong shape, non-finite gradient: fail, 1": """
        test_interface.py::TestWhichIsWhich::test_what_is_wrong""",
    "mutates_input: a warning, the verdict stands; a Python int: converted with a warning": """
        test_interface.py::TestWhichIsWhich::test_what_is_a_warning
        test_awkward_targets.py::test_a_python_int_is_converted_with_a_notice_and_a_float_without""",
    'sampled or located by group testing: pass, saying "checked 500 of 101,000"': """
        test_pipeline.py::test_a_sample_passes_and_says_how_much_was_checked
        test_render_terminal.py::test_a_pass_of_some_entries_says_how_many""",
    "cut short by --budget or --time: inconclusive; nothing checked: inconclusive": """
        test_settings_effects.py::TestLimits::test_what_the_budget_leaves_out_is_not_checked
        test_settings_effects.py::TestLimits::test_time_is_a_limit
        test_compare.py::test_nothing_checked_is_not_a_pass""",
    "the terminal: a progress bar, a table, the worst entries, the diagnosis with the source line, "
    "the command that reproduces it": """
        test_cli.py::TestTerminal::test_colours_and_progress
        test_readme.py::test_the_output_shown_is_the_output_given
        test_cli.py::TestOutput::test_the_reproduce_line_runs_as_printed""",
    # Python
    "gradcheck.check(loss_fn, inputs, wrt=None, *, grad, params, torch, oracles, entries, rtol, "
    "seed, executor, name, ...)": """
        test_interface.py::test_the_arguments_of_check_and_of_a_case""",
    "check.ok, .verdict, .parameters[...].max_relative_error, .diagnoses[0].cause": """
        test_pipeline.py::test_a_right_gradient_passes_with_its_figures""",
    "assert_gradients raises GradientError": """
        test_pipeline.py::test_assert_gradients_returns_a_pass_and_raises_on_the_rest""",
    "check.to_dict() is one element of checks; Report([check]).write": """
        test_interface.py::TestReport::test_a_check_as_a_dict_is_its_element""",
    "inputs: a dict as keyword arguments, a tuple as positional ones, anything else alone": """
        test_calls.py::test_inputs_become_arguments_with_names""",
    "wrt: the keys of the gradient; for torch, what requires grad; else the first argument with "
    "its shapes; else the one float argument; else a UsageError naming the candidates": """
        test_choose.py::test_the_gradient_s_keys_name_the_parameters
        test_torch_problem.py::test_data_is_not_perturbed_by_accident
        test_choose.py::test_else_the_first_argument_with_the_gradient_s_shape
        test_choose.py::test_else_the_one_float_argument_that_has_it
        test_choose.py::test_several_candidates_are_an_error_that_names_them""",
    "a parameter may be any tree of arrays; each leaf is one named parameter": """
        test_awkward_targets.py::test_parameters_and_gradients_may_be_any_tree
        test_promises.py::TestWhatATargetMayReturn::test_a_dataclass_is_a_tree""",
    "params=: perturbed in place and always restored, also after an exception": """
        test_promises.py::TestParameters::test_params_are_put_back_also_after_an_exception
        test_interruptions.py::TestInterruptedAnywhere::test_parameters_and_process_are_as_before""",
    "what a target may return": """
        test_promises.py::TestWhatATargetMayReturn::test_forms
        test_torch_reduced_outputs.py::test_outputs_are_reduced_with_a_fixed_cotangent""",
    "SciPy's forms; nn.Module; autograd.Function": """
        test_promises.py::TestWhatATargetMayReturn::test_scipy_s_forms_work_as_they_are
        test_torch_problem.py::test_a_module_is_checked_in_its_parameters_and_inputs
        test_torch_problem.py::test_an_autograd_function_is_a_target""",
    "check() lets the target's own exception through; a run of several records it and goes on": """
        test_pipeline.py::test_the_target_s_own_exception_comes_through
        test_interface.py::TestWhichIsWhich::test_of_several""",
    "allow_inconclusive=True relaxes": """
        test_pipeline.py::test_inconclusive_is_accepted_only_where_it_is_allowed""",
    "GradientError is an AssertionError whose message is the terminal table; UsageError is a "
    "ValueError": """
        test_interface.py::test_a_gradient_error_is_an_assertion_error_with_the_table""",
    "UsageError says what to write instead": """
        test_pipeline.py::test_wrong_use_is_told_what_to_write_instead
        test_bad_input.py::test_wrong_use_is_said_and_leaves_everything_as_it_was""",
    "expect is a verdict and, if wrong, the failing parameters and the cause": """
        test_pipeline.py::test_a_declared_check_comes_out_as_its_author_says_or_not""",
    # pytest
    "the fixture asserts and records; --gradcheck-report; one line in the summary": """
        test_pytest_plugin.py::test_the_fixture_asserts_and_the_failure_is_the_table
        test_pytest_plugin.py::test_the_report_holds_every_check_of_the_run""",
    "works under pytest-xdist": """
        test_pytest_plugin.py::test_workers_of_xdist_send_their_checks_home""",
    "the relative error is passed to hypothesis.target": """
        test_pytest_plugin.py::test_hypothesis_climbs_and_shrinks_within_a_test""",
    "gradcheck.strategies.inputs draws from specs or from annotations": """
        test_strategies.py::test_sizes_are_shared_and_labels_fit
        test_strategies.py::test_from_the_annotations_of_a_function""",
    # Report files
    "index.html, <check>.html, assets/, report.json, summary.md": """
        test_render_files.py::test_a_folder_with_everything""",
    "they open from disk with no network and request nothing outside DIR": """
        test_render_html.py::test_nothing_outside_is_asked_for
        test_render_html.py::test_every_page_has_a_policy_that_lets_nothing_in""",
    "report.json and its keys": """
        test_interface.py::TestReport::test_its_keys
        test_interface.py::TestReport::test_a_place_in_the_source
        test_report_json.py::test_the_file_keeps_to_the_schema""",
    "reproduce: a command, a pytest node id, or a snippet": """
        test_cli.py::TestOutput::test_the_reproduce_line_runs_as_printed
        test_pytest_plugin.py::test_the_report_holds_every_check_of_the_run""",
    "comparisons: analytic~central, analytic~autograd, autograd~central; of torch targets "
    "analytic~central, analytic~forward": """
        test_reference_run.py::test_each_numpy_variant_is_compared_three_ways
        test_reference_run.py::test_torch_variants_are_held_against_forward_mode""",
    "pages can be rendered from the JSON alone": """
        test_render_html.py::test_rendered_again_from_json_it_is_the_same""",
    'non-finite numbers are the strings "nan", "inf", "-inf"': """
        test_report_json.py::test_non_finite_numbers_are_strings""",
    "all times stand in one place, so that two runs compare equal otherwise": """
        test_report_json.py::test_all_times_stand_in_timing
        test_determinism.py::TestSameSeed::test_of_another_process_hash_seed_and_folder""",
    # Cause keys
    "the keys": """
        test_interface.py::test_every_promised_cause_is_documented
        test_docs.py::test_every_key_that_is_documented_can_be_given""",
}
"""Likewise of the interface: names, options, exit codes and keys that stay as they are."""
